// UTF-8 as the metrics need it: repaired, lower-cased and split exactly as Python's str does.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/regex.h"

namespace cambium::metrics {

// Valid UTF-8: each maximal bad sequence becomes one U+FFFD (Python's errors="replace"). Everything below
// takes repaired text.
std::string clean_utf8(std::string_view bytes);

// str.lower(): full Unicode mapping, with the final sigma.
std::string lower(std::string_view text);

// The code points.
std::u32string decode(std::string_view text);

// str.isspace() of one code point.
bool is_space(char32_t c);

// str.split(): the pieces between runs of Unicode white space; views into `text`.
std::vector<std::string_view> split(std::string_view text);
std::vector<std::string_view> split(std::string&& text) = delete;

// str.rstrip().
std::string_view strip_right(std::string_view text);

// The code point at byte `at` (which must start one) and its length in bytes.
struct CodePoint {
  char32_t value;
  int length;
};
CodePoint code_point(std::string_view text, size_t at);

// What a tokenizer that is a list of regular expressions puts for each match of one.
struct Substitution {
  Regex pattern;
  const char* replacement;
};

}  // namespace cambium::metrics
