// The printable characters of bytes.
#include "models/tokenizers/byte_alphabet.h"

#include <array>

#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

constexpr char32_t kEnd = 0x100 + 68;

struct Alphabet {
  std::array<std::string, 256> spelling;
  std::array<int16_t, kEnd> byte;  // of a character; -1: of none

  Alphabet() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b != 0xAD);
      const char32_t code = printable ? char32_t(b) : next++;
      append_utf8(spelling[size_t(b)], code);
      byte[code] = int16_t(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet the_alphabet;
  return the_alphabet;
}

}  // namespace

const std::string& spelling_of_byte(uint8_t byte) { return alphabet().spelling[byte]; }

std::optional<std::string> bytes_of_spelling(std::string_view token) {
  std::string bytes;
  for (size_t at = 0; at < token.size();) {
    const Utf8Char c = utf8_char(token, at);
    if (!c.size || c.code >= kEnd || alphabet().byte[c.code] < 0) return {};
    bytes += char(uint8_t(alphabet().byte[c.code]));
    at += c.size;
  }
  return bytes;
}

}  // namespace cambium
