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

// Gradients of the weight and the bias of y = x W^T + b, those that are wanted: inputs `weight` and `bias` of an op.
template <size_t N>
void add_weight_gradients(Grads<N>& grads, int weight, int bias, const Tensor& dy, const Tensor& x, bool round) {
  if (grads.needs(bias) && grads.needs(weight)) {
    Tensor dweight = wide_like(dy, {dy.cols(), x.cols()}), dbias = wide_like(dy, {dy.cols()});
    DISPATCH(weight_and_bias_gradient, dy.stream())(dy.stream(), dy, x, round, dweight, dbias);
    grads.add(weight, std::move(dweight));
    grads.add(bias, std::move(dbias));
  } else if (grads.needs(bias)) {
    grads.add(bias, column_sum_of(dy));
  } else if (grads.needs(weight)) {
    grads.add(weight, product(dy, x, {.transpose_a = true, .round_to_bf16 = round}, accumulator(dy.dtype())));
  }
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
    add_weight_gradients(grads, kWeight, kBias, dy, saved.x, saved.round);
    if (grads.needs(kX)) grads.add(kX, product(dy, saved.weight, {}, dy.dtype()));
  }
};

}  // namespace cambium
