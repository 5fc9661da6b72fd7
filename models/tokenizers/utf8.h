// UTF-8 that may be broken.
#pragma once

#include <string>
#include <string_view>

namespace cambium {

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// The character at `at`, and its bytes; size 0 where no well-formed sequence starts there.
struct Utf8Char {
  char32_t code = 0;
  unsigned size = 0;
};
Utf8Char utf8_char(std::string_view text, size_t at);

bool is_utf8(std::string_view text);
// `text` with U+FFFD in place of each byte that belongs to no well-formed UTF-8 sequence.
std::string valid_utf8(std::string_view text);
// `code` is a Unicode scalar value.
void append_utf8(std::string& text, char32_t code);

}  // namespace cambium
