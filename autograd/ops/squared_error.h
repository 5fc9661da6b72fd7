// A head of one output and the squared error of what it says, as one op: for tasks whose answer is a number.
#pragma once

#include "autograd/op.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/matmul.h"

namespace cambium {

// loss = scale * sum_r (x[r] w^T + b - target[r])^2;  x [R, D], w [1, D], b [1] or absent, target [R, 1] in the
// accumulator type; loss [1].
struct SquaredError {
  Tensor target;
  float scale = 1;  // usually 1 / examples of the whole batch

  enum Input { kX, kWeight, kBias };
  struct Saved {
    Tensor error;      // 2 scale (y - target) [R, 1]
    Tensor x, weight;  // for the other's gradient
  };

  Tensor forward(Saved& saved, Needs<3> needs, const Tensor& x, const Tensor& weight, const Tensor& bias) const {
    CHECK(weight.rows() == 1 && x.cols() == weight.cols() && target.size() == x.rows() && (!bias || bias.size() == 1),
          "squared error: x ", x.shape(), ", weight ", weight.shape(), ", bias ", bias.shape(), ", ", target.size(),
          " targets");
    Stream& stream = x.stream();
    const DType wide = accumulator(x.dtype());
    Tensor error = Tensor::empty({x.rows(), 1}, wide, x.device()), loss = Tensor::empty({1, 1}, wide, x.device());
    DISPATCH(matmul, stream)(stream, x, weight, bias, {.transpose_b = true}, error);
    DISPATCH(add_scaled, stream)(stream, error, target, -1, error);
    DISPATCH(matmul, stream)(stream, error, error, {}, {.transpose_a = true}, loss);
    DISPATCH(scale, stream)(stream, loss, scale, loss);
    if (needs[kX] || needs[kWeight] || needs[kBias]) {
      DISPATCH(scale, stream)(stream, error, 2 * scale, error);
      saved.error = error;
    }
    if (needs[kX]) saved.weight = weight;
    if (needs[kWeight]) saved.x = x;
    return loss.reshape({1});
  }

  void backward(const Saved& saved, Tensor dy, Grads<3> grads) const {
    Stream& stream = dy.stream();
    Tensor error = Tensor::like(saved.error);
    DISPATCH(scale_by, stream)(stream, saved.error, dy, error);
    const DType wide = error.dtype();
    if (grads.needs(kX)) {
      Tensor dx = Tensor::empty({error.rows(), saved.weight.cols()}, saved.weight.dtype(), dy.device());
      DISPATCH(matmul, stream)(stream, error, saved.weight, {}, {}, dx);
      grads.add(kX, std::move(dx));
    }
    if (grads.needs(kWeight)) {
      Tensor dweight = Tensor::empty({1, saved.x.cols()}, wide, dy.device());
      DISPATCH(matmul, stream)(stream, error, saved.x, {}, {.transpose_a = true}, dweight);
      grads.add(kWeight, std::move(dweight));
    }
    if (grads.needs(kBias)) {
      Tensor dbias = Tensor::empty({1}, wide, dy.device());
      DISPATCH(column_sum, stream)(stream, error, false, dbias);
      grads.add(kBias, std::move(dbias));
    }
  }
};

}  // namespace cambium
