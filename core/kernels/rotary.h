// Signature of rotary position embedding (Su et al. 2021, "RoFormer", eq. 34; pairs as in Llama: i and i + R/2).
#pragma once

#include "core/view.h"

namespace cambium {

// Each row of x holds heads of `head_size` channels; the first `heads` of them are rotated in their first
// R = table.cols() channels, everything else is copied. With p = position[n], c = table[p, i] (cosine) and
// s = table[p, R/2 + i] (sine), for i < R/2:
//   y[i] = x[i] * c - x[R/2 + i] * s,   y[R/2 + i] = x[R/2 + i] * c + x[i] * s
// inverse: the gradient, s becomes -s. position int32 [N]; below 0: not rotated. table in the accumulator
// type. y may be x.
struct RotaryConfig {
  int heads = 0, head_size = 0;
  bool inverse = false;
};
using Rotary = void(Stream&, const RotaryConfig&, ConstView x, ConstView position, ConstView table, View y);

namespace cpu {
Rotary rotary;
}
namespace gpu {
Rotary rotary;
}

}  // namespace cambium
