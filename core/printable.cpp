#include "core/printable.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

namespace cambium {
namespace {

// Bytes of the well-formed UTF-8 character at the start (Unicode, table 3-7), or 0.
size_t character_length(std::string_view s, uint32_t& value) {
  const auto byte = [&](size_t i) { return i < s.size() ? uint8_t(s[i]) : uint8_t(0); };
  const uint8_t first = byte(0);
  const size_t length = first < 0x80   ? 1
                        : first < 0xc2 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
  if (length <= 1) return value = first, length;
  value = first & (0xffu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3f);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  return overlong || value > 0x10ffff || (value >= 0xd800 && value < 0xe000) ? 0 : length;
}

bool steers(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x61c || c == 0x200e || c == 0x200f ||
         (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

std::string visible(std::string_view text, std::string_view kept) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    uint32_t c = 0;
    const size_t length = character_length(text.substr(at), c);
    if (length && (!steers(c) || (c < 0x80 && kept.find(char(c)) != kept.npos))) {
      out += text.substr(at, length);
      at += length;
      continue;
    }
    for (size_t i = 0; i < std::max<size_t>(length, 1); ++i) {
      char code[8];
      std::snprintf(code, sizeof code, "\\x%02x", unsigned(uint8_t(text[at + i])));
      out += c == '\n' && length ? "\\n" : code;
    }
    at += std::max<size_t>(length, 1);
  }
  return out;
}

}  // namespace

std::string printable(std::string_view text) { return visible(text, "\n\t"); }

std::string in_one_line(std::string_view name) { return visible(name, ""); }

void print_error(std::string_view what) { std::fprintf(stderr, "error: %s\n", printable(what).c_str()); }

}  // namespace cambium
