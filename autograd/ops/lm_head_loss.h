// The LM head and the cross entropy of its logits as one op, so that [rows, vocabulary] never exists.
#pragma once

#include "autograd/op.h"
#include "autograd/ops/linear.h"
#include "core/kernels/cross_entropy.h"

namespace cambium {

// loss = scale * sum_r cross_entropy(x[r] W^T + b, label[r]);  x [R, D], W [V, D], b [V] or absent, label int32
// [R], each in [0, V); loss [1]. Rows are taken kRows at a time against the whole vocabulary: logits,
// loss and gradients in one pass over scratch of kRows * V floats. Gradients are ready after forward.
struct LmHeadLoss {
  static constexpr int64_t kRows = 128;

  Tensor label;
  CrossEntropyConfig config;  // gradient_scale: usually 1 / scored tokens of the whole batch

  enum Input { kX, kWeight, kBias };
  struct Saved {
    Tensor dx, dweight, dbias;
  };

  Tensor forward(Saved& saved, Needs<3> needs, const Tensor& x, const Tensor& weight, const Tensor& bias) const {
    CHECK(x.cols() == weight.cols() && label.size() == x.rows() && (!bias || bias.size() == weight.rows()),
          "LM head: x ", x.shape(), ", weight ", weight.shape(), ", bias ", bias.shape(), ", ", label.size(),
          " labels");
    const int64_t R = x.rows();
    const DType wide = accumulator(x.dtype());
    CrossEntropyConfig step = config;
    step.gradient = needs[kX] || needs[kWeight] || needs[kBias];
    if (needs[kX]) saved.dx = Tensor::like(x);
    if (needs[kWeight]) saved.dweight = Tensor::zeros(weight.shape(), wide, x.device());
    if (needs[kBias]) saved.dbias = Tensor::zeros(bias.shape(), wide, x.device());

    Tensor row_loss = Tensor::empty({R, 1}, wide, x.device());
    for (int64_t begin = 0; begin < R; begin += kRows) {
      const int64_t end = std::min(R, begin + kRows);
      const Tensor part = x.rows(begin, end);
      Tensor logits = product(part, weight, {.transpose_b = true}, wide, bias);
      DISPATCH(cross_entropy_rows, x.stream())
      (x.stream(), step, logits, label.view().columns(begin, end), row_loss.rows(begin, end));
      if (step.gradient) add_gradients(saved, logits, part, weight, begin, end);
    }
    Tensor loss = Tensor::empty({1}, wide, x.device());
    DISPATCH(column_sum, x.stream())(x.stream(), row_loss, false, loss);
    DISPATCH(scale, x.stream())(x.stream(), loss, config.gradient_scale, loss);
    return loss;
  }

  // dy is a number, 1 unless losses are weighted; it is read on the device, so that no step waits for it.
  void backward(const Saved& saved, Tensor dy, Grads<3> grads) const {
    const Tensor gradients[] = {saved.dx, saved.dweight, saved.dbias};
    for (int input = 0; input < 3; ++input) {
      if (!grads.needs(input)) continue;
      const Tensor& g = gradients[input];
      DISPATCH(scale_by, g.stream())(g.stream(), g, dy, g);
      grads.add(input, g);
    }
  }

 private:
  void add_gradients(const Saved& saved, const Tensor& dlogits, const Tensor& x, const Tensor& weight, int64_t begin,
                     int64_t end) const {
    Stream& stream = x.stream();
    const bool round = weight.dtype() == DType::bf16;
    if (saved.dx) DISPATCH(matmul, stream)(stream, dlogits, weight, {}, {}, saved.dx.rows(begin, end));
    if (saved.dweight) DISPATCH(matmul, stream)
    (stream, dlogits, x, {}, {.transpose_a = true, .accumulate = true, .round_to_bf16 = round}, saved.dweight);
    if (saved.dbias) DISPATCH(column_sum, stream)(stream, dlogits, true, saved.dbias);
  }
};

}  // namespace cambium
