// Well-formed UTF-8 as the Unicode standard defines it (table 3-7): no overlong forms, no surrogates.
#include "models/tokenizers/utf8.h"

#include <cstdint>

namespace cambium {

Utf8Char utf8_char(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return at + i < text.size() ? uint8_t(text[at + i]) : uint8_t(0); };
  const auto tail = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const auto bits = [&](size_t i) { return char32_t(byte(i) & 0x3F); };
  const uint8_t lead = byte(0);
  if (at >= text.size()) return {};
  if (lead < 0x80) return {lead, 1};
  if (lead >= 0xC2 && lead <= 0xDF && tail(1)) return {char32_t(lead & 0x1F) << 6 | bits(1), 2};
  if ((lead & 0xF0) == 0xE0 && tail(1) && tail(2)) {
    const char32_t code = char32_t(lead & 0x0F) << 12 | bits(1) << 6 | bits(2);
    if (code >= 0x800 && (code < 0xD800 || code > 0xDFFF)) return {code, 3};
  }
  if (lead >= 0xF0 && lead <= 0xF4 && tail(1) && tail(2) && tail(3)) {
    const char32_t code = char32_t(lead & 0x07) << 18 | bits(1) << 12 | bits(2) << 6 | bits(3);
    if (code >= 0x10000 && code <= 0x10FFFF) return {code, 4};
  }
  return {};
}

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_char(text, at);
    if (!c.size) return false;
    at += c.size;
  }
  return true;
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_char(text, at);
    if (c.size) out.append(text, at, c.size);
    else out += kReplacement;
    at += c.size ? c.size : 1;
  }
  return out;
}

void append_utf8(std::string& text, char32_t code) {
  const auto put = [&](char32_t byte) { text += char(uint8_t(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6), put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18), put(0x80 | (code >> 12 & 0x3F)), put(0x80 | (code >> 6 & 0x3F)), put(0x80 | (code & 0x3F));
  }
}

}  // namespace cambium
