// Two linear layers with an activation between them, as one operation.
#pragma once

#include "autograd/ops/linear.h"
#include "core/kernels/activation.h"

namespace cambium {

// y = act(x W1^T + b1) W2^T + b2 (Vaswani et al. 2017, equation 2, there with ReLU);  x [N, in], W1 [F, in], b1 [F] or
// absent, W2 [out, F], b2 [out] or absent, y [N, out] in the type of x. What Linear, Activate and Linear compute, bit
// for bit; as one operation it lets a GPU's library apply the activation and its gradient to products that it is still
// adding up (gpu::use_gelu_epilogues).
struct Mlp {
  Activation kind = Activation::gelu;

  enum Input { kX, kUp, kUpBias, kDown, kDownBias };
  struct Saved {
    Tensor x, sum, hidden, up, down;  // sum = x W1^T + b1, hidden = act(sum)
    bool round_up = false, round_down = false;
  };

  Tensor forward(Saved& saved, Needs<5> needs, const Tensor& x, const Tensor& up, const Tensor& up_bias,
                 const Tensor& down, const Tensor& down_bias) const {
    CHECK(x.cols() == up.cols() && up.rows() == down.cols() && (!up_bias || up_bias.size() == up.rows()) &&
              (!down_bias || down_bias.size() == down.rows()),
          "mlp: x ", x.shape(), ", up ", up.shape(), ", its bias ", up_bias.shape(), ", down ", down.shape(),
          ", its bias ", down_bias.shape());
    const bool needs_sum = needs[kX] || needs[kUp] || needs[kUpBias];
    const Shape shape{x.rows(), up.rows()};
    const Tensor sum = needs_sum ? Tensor::empty(shape, x.dtype(), x.device()) : Tensor();
    const Tensor hidden = Tensor::empty(shape, x.dtype(), x.device());
    matmul_activation(x.stream(), x, up, up_bias, {.transpose_b = true}, kind, sum, hidden);
    if (needs[kUp]) saved.x = x;
    if (needs[kX]) saved.up = up;
    if (needs_sum) saved.sum = sum, saved.down = down;
    if (needs[kDown]) saved.hidden = hidden;
    saved.round_up = up.dtype() == DType::bf16, saved.round_down = down.dtype() == DType::bf16;
    return product(hidden, down, {.transpose_b = true}, x.dtype(), down_bias);
  }

  void backward(const Saved& saved, Tensor dy, Grads<5> grads) const {
    add_weight_gradients(grads, kDown, kDownBias, dy, saved.hidden, saved.round_down);
    if (!saved.sum) return;
    const Tensor dsum = Tensor::like(saved.sum);
    matmul_activation_gradient(dy.stream(), dy, saved.down, {}, kind, saved.sum, dsum);
    add_weight_gradients(grads, kUp, kUpBias, dsum, saved.x, saved.round_up);
    if (grads.needs(kX)) grads.add(kX, product(dsum, saved.up, {}, dsum.dtype()));
  }
};

}  // namespace cambium
