// The instruction-set level that CPU kernels use.
#pragma once

#include <string_view>

namespace cambium::cpu {

// neon is all that a 64-bit Arm has here. x86_64, avx2 and avx512 are the libraries of core/cpu, compiled for x86-64,
// x86-64-v3 and x86-64-v4 of the psABI; the system's loader chooses one. The last two are avx512 with bfloat16 products
// by vdpbf16ps or by AMX's tiles.
enum class Level { neon, x86_64, avx2, avx512, avx512_bf16, amx };
std::string_view name_of(Level);

Level processor_level();  // the highest that this processor and its system have
Level library_level();    // that this library was compiled for
// The level in use: the processor's, or a lower one that CAMBIUM_CPU_LEVEL names.
Level level();

}  // namespace cambium::cpu
