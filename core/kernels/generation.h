// Signatures of what generation does with logits.
#pragma once

#include "core/view.h"

namespace cambium {

// logits[row[i], column[i]] = -inf. row, column int32 [count].
using MaskLogits = void(Stream&, ConstView row, ConstView column, View logits);

// y = x - log sum exp x, each row; y may be x. float32.
using LogSoftmax = void(Stream&, ConstView x, View y);

// The k largest of each row, largest first, equal values by ascending column. x [R, V] float32; value float32
// [R, k], index int32 [R, k].
using TopK = void(Stream&, ConstView x, int k, View value, View index);

// One token a row: logits / temperature, cut to the top_k largest (0: all), then to the smallest set of
// largest probabilities that reaches top_p (1: all), then the first token, in descending order of
// probability, whose running sum exceeds uniform[r] times the set's sum. Holtzman et al. 2020.
struct SamplingConfig {
  float temperature = 1, top_p = 1;
  int top_k = 0;
};
using SampleTokens = void(Stream&, const SamplingConfig&, ConstView logits, ConstView uniform, View token);

namespace cpu {
MaskLogits mask_logits;
LogSoftmax log_softmax;
TopK top_k;
SampleTokens sample_tokens;
}  // namespace cpu

namespace gpu {
MaskLogits mask_logits;
LogSoftmax log_softmax;
TopK top_k;
SampleTokens sample_tokens;
}  // namespace gpu

}  // namespace cambium
