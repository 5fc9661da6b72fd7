// What the bits of results are promised for, and what this program is.
#pragma once

#include <string>

namespace cambium {

std::string software_version();
// The instruction set of CPU kernels.
std::string instruction_set();

namespace cpu {
const char* kernel_level();  // "x86-64", "x86-64-v3" or "x86-64-v4": which of the three libraries was loaded
}

}  // namespace cambium
