// Signature of matrix multiplication.
#pragma once

#include "core/kernels/activation.h"
#include "core/view.h"

namespace cambium {

// c = op(a) op(b) + bias (accumulate: added to c), with op(a) [M, K], op(b) [K, N], c [M, N], bias [N] in the
// accumulator type or absent. Sums are in the accumulator type. Types of (a, b): equal, or one of them
// float32 and the other bfloat16: then the float32 side is rounded to bfloat16; round_to_bf16 does the same
// to two float32 sides. c: float32 or bfloat16 (float64 for float64). The bits of a row of c depend on
// nothing but the row of op(a), op(b) and bias: not on M, and not on threads.
struct MatmulOptions {
  bool transpose_a = false, transpose_b = false;
  bool accumulate = false;
  bool round_to_bf16 = false;
};
using Matmul = void(Stream&, ConstView a, ConstView b, ConstView bias, const MatmulOptions&, View c);

// Both gradients of y = x W^T + b at once: dweight [out, in] = dy^T x as a Matmul with these options (transpose_a),
// dbias [out] = column sums of dy; dy [N, out], x [N, in]; gradients in the accumulator type.
using WeightAndBiasGradient = void(Stream&, ConstView dy, ConstView x, bool round_to_bf16, View dweight, View dbias);

// y = act(sum) for sum = op(a) op(b) + bias, a Matmul with these options (not accumulate); sum, of y's shape and type,
// is written where it is not absent. On either side; one kernel where the GPU's library can (use_gelu_epilogues).
void matmul_activation(Stream&, ConstView a, ConstView b, ConstView bias, const MatmulOptions&, Activation, View sum,
                       View y);
// c = (op(a) op(b)) * act'(sum), sum of c's shape and type: the gradient through an activation that a product follows.
void matmul_activation_gradient(Stream&, ConstView a, ConstView b, const MatmulOptions&, Activation, ConstView sum,
                                View c);

namespace cpu {
Matmul matmul;
WeightAndBiasGradient weight_and_bias_gradient;

// The processor has instructions for bfloat16 products.
bool multiplies_bf16();
}  // namespace cpu

namespace gpu {
Matmul matmul;
WeightAndBiasGradient weight_and_bias_gradient;
// Both of the above in the library's product. False: it cannot or may not, and nothing was done.
bool library_matmul_activation(Stream&, ConstView a, ConstView b, ConstView bias, const MatmulOptions&, Activation,
                               View sum, View y);
bool library_matmul_activation_gradient(Stream&, ConstView a, ConstView b, const MatmulOptions&, Activation,
                                        ConstView sum, View c);
}  // namespace gpu

}  // namespace cambium
