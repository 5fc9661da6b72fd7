// Sums over rows (gradients of biases and norm weights) in a fixed order.
#pragma once

#include <algorithm>

#include "core/cpu/parallel.h"
#include "core/kernels/elementwise.h"
#include "core/memory.h"

namespace cambium::cpu {

// out[d] (+)= sum_n term(n, d): rows in order within blocks of kRowsPerBlock, then the blocks in order.
template <class Sum, class Term>
void sum_over_rows(Stream& stream, int64_t N, int64_t D, bool accumulate, Sum* out, const Term& term) {
  const int64_t blocks = (N + kRowsPerBlock - 1) / kRowsPerBlock;
  Scratch<Sum> partial(stream, blocks * D);  // [blocks, D]
  parallel_rows(blocks, [&](int64_t b) {
    Sum* sum = partial.data() + b * D;
    std::fill_n(sum, D, Sum(0));
    for (int64_t n = b * kRowsPerBlock; n < std::min(N, (b + 1) * kRowsPerBlock); ++n)
      for (int64_t d = 0; d < D; ++d) sum[d] += term(n, d);
  });
  if (!accumulate) std::fill_n(out, D, Sum(0));
  for (int64_t b = 0; b < blocks; ++b)
    for (int64_t d = 0; d < D; ++d) out[d] += partial.data()[b * D + d];
}

}  // namespace cambium::cpu
