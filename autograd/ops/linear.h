// Matrix products on the tape: linear layers.
#pragma once

#include "autograd/op.h"
#include "core/kernels/matmul.h"

namespace cambium {

// c = op(a) op(b) (+ bias), freshly allocated in `dtype`.
inline Tensor product(const Tensor& a, const Tensor& b, const MatmulOptions& options, DType dtype,
                      const Tensor& bias = {}) {
  Tensor c = Tensor::empty({options.transpose_a ? a.cols() : a.rows(), options.transpose_b ? b.rows() : b.cols()},
                           dtype, a.device());
  DISPATCH(matmul, a.stream())(a.stream(), a, b, bias, options, c);
  return c;
}

// y = x W^T + b;  x [N, in], W [out, in], b [out] or absent, y [N, out] in the type of x. With a bfloat16 W all
// three products are bfloat16 ones with float32 sums; gradients of W and b are float32.
//   dx = dy W,  dW = dy^T x,  db = column sum of dy
struct Linear {
  enum Input { kX, kWeight, kBias };
  struct Saved {
    Tensor x, weight;
    bool round = false;
  };

  Tensor forward(Saved& saved, Needs<3> needs, const Tensor& x, const Tensor& weight, const Tensor& bias) const {
    CHECK(x.cols() == weight.cols() && (!bias || bias.size() == weight.rows()), "linear: x ", x.shape(), ", weight ",
          weight.shape(), ", bias ", bias.shape());
    if (needs[kWeight]) saved.x = x;
    if (needs[kX]) saved.weight = weight;
    saved.round = weight.dtype() == DType::bf16;
    return product(x, weight, {.transpose_b = true}, x.dtype(), bias);
  }

  void backward(const Saved& saved, Tensor dy, Grads<3> grads) const {
    if (grads.needs(kBias) && grads.needs(kWeight)) {
      Tensor dweight = wide_like(dy, {dy.cols(), saved.x.cols()}), dbias = wide_like(dy, {dy.cols()});
      DISPATCH(weight_and_bias_gradient, dy.stream())(dy.stream(), dy, saved.x, saved.round, dweight, dbias);
      grads.add(kWeight, std::move(dweight));
      grads.add(kBias, std::move(dbias));
    } else if (grads.needs(kBias)) {
      grads.add(kBias, column_sum_of(dy));
    } else if (grads.needs(kWeight)) {
      grads.add(kWeight,
                product(dy, saved.x, {.transpose_a = true, .round_to_bf16 = saved.round}, accumulator(dy.dtype())));
    }
    if (grads.needs(kX)) grads.add(kX, product(dy, saved.weight, {}, dy.dtype()));
  }
};

}  // namespace cambium
