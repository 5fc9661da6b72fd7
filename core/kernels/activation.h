// Signatures of the feed-forward activations, plain and gated.
#pragma once

#include <string_view>

#include "core/view.h"

namespace cambium {

// gelu: x * Phi(x) (Hendrycks & Gimpel 2016); gelu_tanh: its tanh form (GPT-2's "gelu_new");
// silu: x * sigmoid(x).
enum class Activation : uint8_t { relu, gelu, gelu_tanh, silu, tanh };

constexpr std::string_view name_of(Activation a) {
  constexpr std::string_view names[] = {"relu", "gelu", "gelu_tanh", "silu", "tanh"};
  return names[size_t(a)];
}

// y = act(x + bias); x, y [N, F]; bias [F] in the accumulator type or absent. y may be x.
using ActivationForward = void(Stream&, Activation, ConstView x, ConstView bias, View y);
// dx = dy * act'(x + bias); dx may be dy.
using ActivationBackward = void(Stream&, Activation, ConstView dy, ConstView x, ConstView bias, View dx);

// With x = [g | u], each [N, F]:  y = act(g + bias_g) * (u + bias_u); bias [2F] or absent. (Shazeer 2020)
using GatedForward = void(Stream&, Activation, ConstView x, ConstView bias, View y);
// dx [N, 2F] = [dy * (u + bias_u) * act'(g + bias_g) | dy * act(g + bias_g)]; dx may be x.
using GatedBackward = void(Stream&, Activation, ConstView dy, ConstView x, ConstView bias, View dx);

namespace cpu {
ActivationForward activation_forward;
ActivationBackward activation_backward;
GatedForward gated_forward;
GatedBackward gated_backward;
}  // namespace cpu

namespace gpu {
ActivationForward activation_forward;
ActivationBackward activation_backward;
GatedForward gated_forward;
GatedBackward gated_backward;
}  // namespace gpu

}  // namespace cambium
