// Matrix products on the tape: linear layers, and the low-rank updates of LoRA.
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
    CHECK(x.cols() == weight.cols() && (!bias || bias.size() == weight.rows()), "linear: x ", x.shape(),
          ", weight ", weight.shape(), ", bias ", bias.shape());
    if (needs[kWeight]) saved.x = x;
    if (needs[kX]) saved.weight = weight;
    saved.round = weight.dtype() == DType::bf16;
    return product(x, weight, {.transpose_b = true}, x.dtype(), bias);
  }

  void backward(const Saved& saved, Tensor dy, Grads<3> grads) const {
    if (grads.needs(kBias)) grads.add(kBias, column_sum_of(dy));
    if (grads.needs(kWeight))
      grads.add(kWeight, product(dy, saved.x, {.transpose_a = true, .round_to_bf16 = saved.round},
                                 accumulator(dy.dtype())));
    if (grads.needs(kX)) grads.add(kX, product(dy, saved.weight, {}, dy.dtype()));
  }
};

// z = y + scale * (x A^T) B^T in the columns [begin, end) of y;  x [N, in], A [r, in], B [end - begin, r].
// With d the gradient of those columns:  dB = scale * d^T (x A^T),  u = scale * d B,  dA = u^T x,  dx = u A.
//                                                                         (Hu et al. 2022, eq. 3)
struct LowRank {
  float scale = 1;
  int64_t begin = 0, end = 0;

  enum Input { kX, kA, kB, kY };
  struct Saved {
    Tensor x, a, b, u;  // u = scale * x A^T
  };

  Tensor forward(Saved& saved, Needs<4> needs, const Tensor& x, const Tensor& a, const Tensor& b,
                 const Tensor& y) const {
    CHECK(x.cols() == a.cols() && a.rows() == b.cols() && b.rows() == end - begin && end <= y.cols(), "low_rank: x ",
          x.shape(), ", A ", a.shape(), ", B ", b.shape(), ", columns ", begin, " to ", end, " of ", y.shape());
    Tensor u = product(x, a, {.transpose_b = true}, accumulator(x.dtype()));
    scale_in_place(u);
    Tensor z = y.clone();
    DISPATCH(matmul, x.stream())
    (x.stream(), u, b, {}, {.transpose_b = true, .accumulate = true}, z.view().columns(begin, end));
    if (needs[kA]) saved.x = x;
    if (needs[kX]) saved.a = a;
    if (needs[kA] || needs[kX]) saved.b = b;
    if (needs[kB]) saved.u = u;
    return z;
  }

  void backward(const Saved& saved, Tensor dy, Grads<4> grads) const {
    const ConstView d = dy.view().columns(begin, end);
    if (grads.needs(kB)) {
      Tensor db = wide_like(dy, {end - begin, saved.u.cols()});
      DISPATCH(matmul, dy.stream())(dy.stream(), d, saved.u, {}, {.transpose_a = true}, db);
      grads.add(kB, std::move(db));
    }
    if (grads.needs(kA) || grads.needs(kX)) {
      Tensor u = wide_like(dy, {dy.rows(), saved.b.cols()});
      DISPATCH(matmul, dy.stream())(dy.stream(), d, saved.b, {}, {}, u);
      scale_in_place(u);
      if (grads.needs(kA)) grads.add(kA, product(u, saved.x, {.transpose_a = true}, u.dtype()));
      if (grads.needs(kX)) grads.add(kX, product(u, saved.a, {}, dy.dtype()));
    }
    if (grads.needs(kY)) grads.add(kY, std::move(dy));
  }

 private:
  void scale_in_place(const Tensor& u) const {
    if (scale != 1) DISPATCH(scale, u.stream())(u.stream(), u, scale, u);
  }
};

}  // namespace cambium
