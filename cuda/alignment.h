// What tensor cores and asynchronous copies read at once.
#pragma once

#include <cstdint>

#include "core/view.h"

namespace cambium::gpu {

inline constexpr int64_t kAlignment = 16;  // bytes

// Every row begins at a multiple of it; the same for every range of rows of a matrix.
inline bool is_aligned(ConstView v) {
  return (reinterpret_cast<uintptr_t>(v.pointer) | uintptr_t(v.stride * size_of(v.dtype()))) % kAlignment == 0;
}

}  // namespace cambium::gpu
