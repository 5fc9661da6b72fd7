// What the bits of results are promised for, and what this program is.
#pragma once

#include <string>

namespace cambium {

std::string software_version();
// The level of CPU kernels (core/cpu/level.h): "avx2".
std::string instruction_set();

}  // namespace cambium
