// UTF-8 that may be broken.
#pragma once

#include <string>
#include <string_view>

namespace cambium {

// `text` with U+FFFD in place of each byte that belongs to no well-formed UTF-8 sequence.
std::string valid_utf8(std::string_view text);

}  // namespace cambium
