// Tables of positions: rotary angles and T5's relative buckets.
#pragma once

#include "core/tensor.h"
#include "models/config.h"

namespace cambium {

// [positions, rotary_size]: cosines of p / base^(2 i / rotary_size), then sines, for i < rotary_size / 2.
// (Su et al. 2021, section 3.2.2; with the wave lengths of Llama 3's scaling where the configuration has it.)
Tensor rotary_table(const ModelConfig&, int64_t positions, DType, Device);

// int32 [2 range + 1]: the bucket of each distance key - query from -range to range, range = relative_distance:
// exact for small distances, then logarithmic. (Raffel et al. 2020, section 2.1)
Tensor relative_buckets(const ModelConfig&, bool bidirectional, Device);

}  // namespace cambium
