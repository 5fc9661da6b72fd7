// What the two GPU sides of matmul share (cuBLASLt in matmul.cpp, its host twin in simt_matmul.cu).
#pragma once

#include "core/kernels/matmul.h"

namespace cambium::gpu {

// The sizes of a product, after a check that all operands have them.
struct ProductSizes {
  int64_t M, N, K;

  ProductSizes(ConstView a, ConstView b, ConstView bias, const MatmulOptions& o, ConstView c)
      : M(c.rows()), N(c.cols()), K(o.transpose_a ? a.rows() : a.cols()) {
    CHECK((o.transpose_a ? a.cols() : a.rows()) == M && (o.transpose_b ? b.rows() : b.cols()) == N &&
              (o.transpose_b ? b.cols() : b.rows()) == K && (!bias || bias.size() == N),
          "matmul: a [", a.rows(), ",", a.cols(), "]", o.transpose_a ? "^T" : "", ", b [", b.rows(), ",", b.cols(), "]",
          o.transpose_b ? "^T" : "", ", bias [", bias.size(), "], c [", M, ",", N, "]");
  }
};

// Whether the operands of a product are rounded to bfloat16.
inline bool in_bfloat16(ConstView a, ConstView b, const MatmulOptions& options) {
  return a.dtype() == DType::bf16 || b.dtype() == DType::bf16 || options.round_to_bf16;
}

// Lets cuBLASLt apply GELU's tanh form, and its gradient, to products that it is still adding up: a pass over the
// activations less. Off at first, because results change their bits: it sees unrounded sums, and a bfloat16 product
// takes a bias that is rounded to bfloat16. So a layer that a tuner works inside of, for which this is not possible,
// would not give the base's bits where the tuner changes nothing. Builds without the library have no such epilogues.
void use_gelu_epilogues(bool);

// y[n,d] += bias[d]; bias [D] float32. Defined in elementwise.cu.
void add_bias(Stream&, ConstView bias, View y);

}  // namespace cambium::gpu
