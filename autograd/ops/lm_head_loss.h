// The LM head and the cross entropy of its logits as one op, so that [rows, vocabulary] never exists.
#pragma once

#include "autograd/op.h"
#include "autograd/ops/linear.h"
#include "core/kernels/cross_entropy.h"

namespace cambium {

// loss = scale * sum_r cross_entropy(x[r] W^T + b, label[r]);  x [R, D], W [V, D], b [V] or absent, label int32
// [R], each in [0, V); loss [1]. Rows are taken kRows (on a GPU kGpuRows) at a time against the whole vocabulary:
// logits, loss and gradients in one pass over scratch of so many rows * V floats. Gradients are ready after forward.
struct LmHeadLoss {
  static constexpr int64_t kRows = 128;
  static constexpr int64_t kGpuRows = 512;  // fewer would leave most of its multiprocessors idle
  // A GPU's fast products need multiples of 8, and GPT-2's vocabulary is odd: there it is filled up with zeros.
  static constexpr int64_t kTogether = 16;

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
    const int64_t V = weight.rows(), most = x.device().is_gpu() ? kGpuRows : kRows;
    const Tensor table = filled_up(weight), added = filled_up(bias);
    const Tensor scratch = Tensor::empty({std::min(R, most), table.rows()}, wide, x.device());
    for (int64_t begin = 0; begin < R; begin += most) {
      const int64_t end = std::min(R, begin + most);
      const Tensor part = x.rows(begin, end), logits = scratch.rows(0, end - begin);
      DISPATCH(matmul, x.stream())(x.stream(), part, table, added, {.transpose_b = true}, logits);
      DISPATCH(cross_entropy_rows, x.stream())
      (x.stream(), step, logits.view().columns(0, V), label.view().columns(begin, end), row_loss.rows(begin, end));
      if (step.gradient) add_gradients(saved, logits, part, table, begin, end);
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
  // t [V] or [V, D], on a GPU with zeros after it, so that the first dimension is a multiple of kTogether.
  static Tensor filled_up(const Tensor& t) {
    if (!t.device().is_gpu()) return t;
    const int64_t V = t.shape()[0], whole = (V + kTogether - 1) / kTogether * kTogether;
    if (whole == V) return t;
    const Tensor all =
        Tensor::empty(t.shape().rank() == 1 ? Shape{whole} : Shape{whole, t.cols()}, t.dtype(), t.device());
    all.rows(0, V).copy_from(t);
    all.rows(V, whole).fill_zero();
    return all;
  }

  // dlogits: beyond V columns of zeros, as many as `table` has rows beyond V.
  void add_gradients(const Saved& saved, const Tensor& dlogits, const Tensor& x, const Tensor& table, int64_t begin,
                     int64_t end) const {
    Stream& stream = x.stream();
    const bool round = table.dtype() == DType::bf16;
    const Tensor d = round && (saved.dx || saved.dweight) ? dlogits.to(DType::bf16) : dlogits;
    if (saved.dx) DISPATCH(matmul, stream)(stream, d, table, {}, {}, saved.dx.rows(begin, end));
    if (saved.dweight) DISPATCH(matmul, stream)
    (stream, d.view().columns(0, saved.dweight.rows()), x, {},
     {.transpose_a = true, .accumulate = true, .round_to_bf16 = round}, saved.dweight);
    if (saved.dbias) DISPATCH(column_sum, stream)
    (stream, dlogits.view().columns(0, saved.dbias.size()), true, saved.dbias);
  }
};

}  // namespace cambium
