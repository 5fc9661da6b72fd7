// Attention for segments of one query (cuda/attention_decode.cu): a part of attention_forward.
#pragma once

#include "cuda/attention.cuh"

namespace cambium::gpu {

// out and lse of the sequences that have one query; leaves the others alone. No dropout.
template <class T>
void attention_decode(Stream&, const AttentionInputs&, const AttentionProblem<T>&, View out, View lse);

}  // namespace cambium::gpu
