// Signature of dropout (Srivastava et al. 2014). The mask is a function of its key and of which token a
// row is, so it depends neither on the batch around it nor on threads, and backward computes it again.
#pragma once

#include "core/random.h"
#include "core/view.h"

namespace cambium {

struct DropoutConfig {
  float probability = 0;
  RandomKey key;
};

// y[n,d] = residual[n,d] + (kept ? x[n,d] / (1 - p) : 0), kept = word >= drop_threshold(p), where word is
// philox(key, channel_counter(d), token[n,1], token[n,0], 0).word[channel_word(d)].
// token int32 [N, 2]: the sequence's index in its own data order, and the position in the sequence.
// residual may be absent; y may be x or residual. The gradient with respect to x is the same function.
using Dropout = void(Stream&, const DropoutConfig&, ConstView x, ConstView token, ConstView residual, View y);

namespace cpu {
Dropout dropout;
}
namespace gpu {
Dropout dropout;
}

}  // namespace cambium
