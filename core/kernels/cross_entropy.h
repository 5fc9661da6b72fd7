// Signature of the cross entropy of rows of logits, and its gradient in the same pass.
#pragma once

#include "core/view.h"

namespace cambium {

struct CrossEntropyConfig {
  float gradient_scale = 1;   // usually 1 / scored tokens of the whole batch
  float label_smoothing = 0;  // s: the target is (1 - s) one-hot + s / V
  float z_loss = 0;           // z: adds z * lse^2 (T5X)
  bool gradient = true;
};

// For row r of logits [R, V] with label t = label[r] >= 0 and lse = log sum_v exp(logits[r,v]):
//   loss[r] = lse - (1 - s) * logits[r,t] - s * mean_v logits[r,v] + z * lse^2
// and, if asked for, in place: logits[r,v] = gradient_scale * d loss[r] / d logits[r,v].
// logits and loss [R] in the accumulator type; label int32 [R].
using CrossEntropyRows = void(Stream&, const CrossEntropyConfig&, View logits, ConstView label, View loss);

namespace cpu {
CrossEntropyRows cross_entropy_rows;
}
namespace gpu {
CrossEntropyRows cross_entropy_rows;
}

}  // namespace cambium
