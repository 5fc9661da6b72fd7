// UTF-8 repair and lower-casing by ICU, splitting by hand.
#include "experiments/lib/metrics/text.h"

#include <unicode/locid.h>
#include <unicode/unistr.h>

#include <algorithm>

#include "core/error.h"

namespace cambium::metrics {
namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return uint8_t(c) < 0x80; });
}

icu::UnicodeString to_icu(std::string_view text) {
  check_input(text.size() < (size_t(1) << 30), "a text of ", text.size(), " bytes is too long to score");
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), int32_t(text.size())));
}

}  // namespace

std::string clean_utf8(std::string_view bytes) {
  if (is_ascii(bytes)) return std::string(bytes);
  std::string out;
  to_icu(bytes).toUTF8String(out);
  return out;
}

std::string lower(std::string_view text) {
  std::string out;
  if (is_ascii(text)) {
    out.assign(text);
    for (char& c : out) c = c >= 'A' && c <= 'Z' ? char(c + 32) : c;
    return out;
  }
  to_icu(text).toLower(icu::Locale::getRoot()).toUTF8String(out);
  return out;
}

CodePoint code_point(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return char32_t(uint8_t(text[at + i])); };
  const char32_t first = byte(0);
  if (first < 0x80) return {first, 1};
  if (first < 0xe0) return {(first & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (first < 0xf0) return {(first & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(first & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f), 4};
}

std::u32string decode(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = code_point(text, i);
    out.push_back(c.value);
    i += size_t(c.length);
  }
  return out;
}

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> words;
  size_t start = 0;
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = code_point(text, i);
    if (is_space(c.value)) {
      if (i > start) words.push_back(text.substr(start, i - start));
      start = i + size_t(c.length);
    }
    i += size_t(c.length);
  }
  if (start < text.size()) words.push_back(text.substr(start));
  return words;
}

std::string_view strip_right(std::string_view text) {
  while (!text.empty()) {
    size_t last = text.size() - 1;
    while (last > 0 && (uint8_t(text[last]) & 0xc0) == 0x80) --last;  // back to the first byte
    if (!is_space(code_point(text, last).value)) break;
    text = text.substr(0, last);
  }
  return text;
}

}  // namespace cambium::metrics
