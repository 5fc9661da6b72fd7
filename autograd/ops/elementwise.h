// Sums, scaling, activations and dropout on the tape.
#pragma once

#include "autograd/op.h"
#include "core/kernels/activation.h"
#include "core/kernels/dropout.h"

namespace cambium {

// y = a + factor * b; both of one shape.
struct Add {
  float factor = 1;

  enum Input { kA, kB };
  struct Saved {};

  Tensor forward(Saved&, Needs<2>, const Tensor& a, const Tensor& b) const {
    CHECK(a.shape() == b.shape(), "add: ", a.shape(), " and ", b.shape());
    Tensor y = Tensor::like(a);
    DISPATCH(add_scaled, a.stream())(a.stream(), a, b, factor, y);
    return y;
  }

  void backward(const Saved&, Tensor dy, Grads<2> grads) const {
    if (grads.needs(kB)) {
      Tensor db = dy;
      if (factor != 1) {
        db = Tensor::like(dy);
        DISPATCH(scale, dy.stream())(dy.stream(), dy, factor, db);
      }
      grads.add(kB, std::move(db));
    }
    if (grads.needs(kA)) grads.add(kA, std::move(dy));
  }
};

// y = factor * x.
struct Multiply {
  float factor = 1;

  enum Input { kX };
  struct Saved {};

  Tensor forward(Saved&, Needs<1>, const Tensor& x) const { return times(x, Tensor::like(x)); }
  void backward(const Saved&, Tensor dy, Grads<1> grads) const {
    Tensor dx = dy.unique() ? dy : Tensor::like(dy);
    grads.add(kX, times(dy, std::move(dx)));
  }

 private:
  Tensor times(const Tensor& x, Tensor y) const {
    DISPATCH(scale, x.stream())(x.stream(), x, factor, y);
    return y;
  }
};

// y = act(x + bias); x [N, F], bias [F] or absent.
struct Activate {
  Activation kind = Activation::gelu;

  enum Input { kX, kBias };
  struct Saved {
    Tensor x, bias;
  };

  Tensor forward(Saved& saved, Needs<2> needs, const Tensor& x, const Tensor& bias) const {
    Tensor y = Tensor::like(x);
    DISPATCH(activation_forward, x.stream())(x.stream(), kind, x, bias, y);
    if (needs[kX] || needs[kBias]) saved = {x, bias};
    return y;
  }

  void backward(const Saved& saved, Tensor dy, Grads<2> grads) const {
    Tensor dx = dy.unique() ? dy : Tensor::like(dy);
    DISPATCH(activation_backward, dy.stream())(dy.stream(), kind, dy, saved.x, saved.bias, dx);
    if (grads.needs(kBias)) grads.add(kBias, column_sum_of(dx));
    if (grads.needs(kX)) grads.add(kX, std::move(dx));
  }
};

// y = act(g + bias_g) * (u + bias_u) for x = [g | u]; x [N, 2F], bias [2F] or absent, y [N, F].
struct ActivateGated {
  Activation kind = Activation::silu;

  enum Input { kX, kBias };
  struct Saved {
    Tensor x, bias;
  };

  Tensor forward(Saved& saved, Needs<2> needs, const Tensor& x, const Tensor& bias) const {
    CHECK(x.cols() % 2 == 0, "gated activation: x ", x.shape(), " has no two halves");
    Tensor y = Tensor::empty({x.rows(), x.cols() / 2}, x.dtype(), x.device());
    DISPATCH(gated_forward, x.stream())(x.stream(), kind, x, bias, y);
    if (needs[kX] || needs[kBias]) saved = {x, bias};
    return y;
  }

  void backward(const Saved& saved, Tensor dy, Grads<2> grads) const {
    Tensor dx = Tensor::like(saved.x);
    DISPATCH(gated_backward, dy.stream())(dy.stream(), kind, dy, saved.x, saved.bias, dx);
    if (grads.needs(kBias)) grads.add(kBias, column_sum_of(dx));
    if (grads.needs(kX)) grads.add(kX, std::move(dx));
  }
};

// y = residual + dropout(x); residual may be absent. token int32 [N, 2]: core/kernels/dropout.h.
struct DropoutAdd {
  DropoutConfig config;
  Tensor token;

  enum Input { kX, kResidual };
  struct Saved {};

  Tensor forward(Saved&, Needs<2>, const Tensor& x, const Tensor& residual) const {
    CHECK(!residual || residual.shape() == x.shape(), "dropout: x ", x.shape(), " and residual ", residual.shape());
    CHECK(token.rows() == x.rows(), "dropout: x ", x.shape(), " and tokens ", token.shape());
    Tensor y = Tensor::like(x);
    DISPATCH(dropout, x.stream())(x.stream(), config, x, token, residual, y);
    return y;
  }

  void backward(const Saved&, Tensor dy, Grads<2> grads) const {
    if (grads.needs(kX)) {
      const bool last = !grads.needs(kResidual) && dy.unique();
      Tensor dx = last ? dy : Tensor::like(dy);
      DISPATCH(dropout, dy.stream())(dy.stream(), config, dy, token, {}, dx);
      grads.add(kX, std::move(dx));
    }
    if (grads.needs(kResidual)) grads.add(kResidual, std::move(dy));
  }
};

}  // namespace cambium
