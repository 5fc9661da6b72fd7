// Which of the three builds of the CPU kernels this one is.
#include "core/machine.h"

namespace cambium::cpu {

const char* kernel_level() {
#if defined(__AVX512F__)
  return "x86-64-v4";
#elif defined(__AVX2__)
  return "x86-64-v3";
#else
  return "x86-64";
#endif
}

}  // namespace cambium::cpu
