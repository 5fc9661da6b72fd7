// Normalisation on the tape.
#pragma once

#include "autograd/op.h"
#include "core/kernels/norm.h"

namespace cambium {

// y = x / rms(x) * weight over the last dimension; x [N, D], weight [D].
struct RmsNorm {
  float epsilon = 1e-5f;

  enum Input { kX, kWeight };
  struct Saved {
    Tensor x, weight, rstd;  // weight only if x wants a gradient: a frozen model below trains nothing here
  };

  Tensor forward(Saved& saved, Needs<2> needs, const Tensor& x, const Tensor& weight) const {
    CHECK(x.cols() == weight.size(), "rms_norm: x ", x.shape(), " and weight ", weight.shape());
    Tensor y = Tensor::like(x), rstd = wide_like(x, {x.rows()});
    DISPATCH(rms_norm_forward, x.stream())(x.stream(), x, weight, epsilon, y, rstd);
    if (needs[kX] || needs[kWeight]) saved = {x, needs[kX] ? weight : Tensor(), rstd};
    return y;
  }

  void backward(const Saved& saved, Tensor dy, Grads<2> grads) const {
    const auto& [x, weight, rstd] = saved;
    if (grads.needs(kWeight)) {
      Tensor dweight = wide_like(x, {x.cols()});
      DISPATCH(rms_norm_backward_weight, x.stream())(x.stream(), dy, x, rstd, dweight);
      grads.add(kWeight, std::move(dweight));
    }
    if (grads.needs(kX)) {
      Tensor dx = dy.unique() ? dy : Tensor::like(dy);
      DISPATCH(rms_norm_backward_input, x.stream())(x.stream(), dy, x, weight, rstd, dx);
      grads.add(kX, std::move(dx));
    }
  }
};

// y = (x - mean(x)) / std(x) * weight + bias over the last dimension; x [N, D], weight and bias [D].
struct LayerNorm {
  float epsilon = 1e-5f;

  enum Input { kX, kWeight, kBias };
  struct Saved {
    Tensor x, weight, mean, rstd;
  };

  Tensor forward(Saved& saved, Needs<3> needs, const Tensor& x, const Tensor& weight, const Tensor& bias) const {
    CHECK(x.cols() == weight.size() && (!bias || x.cols() == bias.size()), "layer_norm: x ", x.shape(), ", weight ",
          weight.shape(), " and bias ", bias.shape());
    Tensor y = Tensor::like(x), mean = wide_like(x, {x.rows()}), rstd = wide_like(x, {x.rows()});
    DISPATCH(layer_norm_forward, x.stream())(x.stream(), x, weight, bias, epsilon, y, mean, rstd);
    if (needs[kX] || needs[kWeight]) saved = {x, needs[kX] ? weight : Tensor(), mean, rstd};
    return y;
  }

  void backward(const Saved& saved, Tensor dy, Grads<3> grads) const {
    const auto& [x, weight, mean, rstd] = saved;
    if (grads.needs(kBias)) grads.add(kBias, column_sum_of(dy));
    if (grads.needs(kWeight)) {
      Tensor dweight = wide_like(x, {x.cols()});
      DISPATCH(layer_norm_backward_weight, x.stream())(x.stream(), dy, x, mean, rstd, dweight);
      grads.add(kWeight, std::move(dweight));
    }
    if (grads.needs(kX)) {
      Tensor dx = dy.unique() ? dy : Tensor::like(dy);
      DISPATCH(layer_norm_backward_input, x.stream())(x.stream(), dy, x, weight, mean, rstd, dx);
      grads.add(kX, std::move(dx));
    }
  }
};

}  // namespace cambium
