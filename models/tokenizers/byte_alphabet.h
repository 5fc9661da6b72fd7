// The printable characters in which byte-level tokenizers spell bytes.
//
// GPT-2's encoder.py (Radford et al. 2019): bytes that are printable in Latin-1 stand for themselves, the 68 others for
// U+0100 and up in their order; a space is U+0120, a line feed U+010A.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cambium {

// The character of a byte, as UTF-8.
const std::string& spelling_of_byte(uint8_t byte);
// The bytes that a token's characters stand for; none where a character stands for no byte.
std::optional<std::string> bytes_of_spelling(std::string_view token);

}  // namespace cambium
