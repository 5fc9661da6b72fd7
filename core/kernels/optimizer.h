// Signatures of the optimizers' updates and of gradient norms: one call for a whole list of tensors.
#pragma once

#include <span>

#include "core/view.h"

namespace cambium {

// One tensor that trains, flat [size]; value, gradient and state are float32 (float64 for tests).
struct OptimizerTensor {
  View value;
  ConstView gradient;
  View first, second;  // state; what each optimizer keeps is said below
  View working;        // bfloat16 copy of value for matmuls, or absent
};

// What a step's losses and gradients say to its update, on their device: a gate, float64 {factor of the gradients, 1 or
// 0: no update, neither of values nor of state}. An absent gate stands for {1, 1}. JudgeStep, below, sets it.

// g = gate[0] * gradient;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
// p = p - lr * decay * p;  p = p - lr * (m / c1) / (sqrt(v / c2) + epsilon),  c_i = 1 - b_i^t
// first = m, second = v.                                          (Loshchilov & Hutter 2019, algorithm 2)
struct AdamWStep {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0;
  double correction1 = 1, correction2 = 1;  // c1, c2
  ConstView gate = {};
};
using AdamW = void(Stream&, const AdamWStep&, std::span<const OptimizerTensor>);

// g = gate[0] * gradient + decay * p;  m = momentum * m + g;  p = p - lr * m;  first = m, absent when momentum is 0.
// (Decay is coupled, as in torch.optim.SGD: it goes through the momentum.)
struct SgdStep {
  double lr = 1e-3, momentum = 0, decay = 0;
  ConstView gate = {};
};
using Sgd = void(Stream&, const SgdStep&, std::span<const OptimizerTensor>);

// With g = gate[0] * gradient, Adafactor without first moment (Shazeer & Stern 2018, algorithms 4 and 5) with T5X's
// options. Matrices [R, C] with min(R, C) >= factor_min_dim keep row means (first [R]) and column means (second [C]) of
// g^2 + epsilon1, other tensors all of it (second, of value's size):
//   factored: v[r,c] = first[r] * second[c] / mean_r first;   update u = g / sqrt(v)
//   u = u / max(1, rms(u) / clip);  step = lr, times max(epsilon2, rms(p)) if scaled by the parameter
//   p = (1 - decay) p - step u  (decay not times lr), or (1 - lr decay) p - step u
struct AdafactorStep {
  double lr = 1e-3, beta2 = 0.999, epsilon1 = 1e-30, epsilon2 = 1e-3, clip = 1, decay = 0;
  bool scale_by_parameter = false, decay_times_lr = false;
  ConstView gate = {};
};
struct AdafactorTensor {
  OptimizerTensor tensor;  // value [R, C]; factored if `first` is there
};
using Adafactor = void(Stream&, const AdafactorStep&, std::span<const AdafactorTensor>);

// out[i] = sum of squares of tensor i, in float64, in blocks of fixed size added in order; not finite where
// a value is not. out float64 [count].
using SquareSums = void(Stream&, std::span<const ConstView>, View out);

// Judges a step from its gradients' sums of squares and the losses of its parts (float32 or float64 [parts], or
// absent):
//   loss = sum_p losses[p],  norm = sqrt(sum_i sums[i]);  float64, added in order
//   report = {loss, norm, the first i whose sum is not finite, else -1};  float64 [3]
//   gate = {clip > 0 ? min(1, clip / (norm + 1e-6)) : 1, 1 if all of this is finite and gate[1] was 1 before, else 0}
// (1e-6: as torch.nn.utils.clip_grad_norm_ has it.) A gate that has shut stays shut: values and state are those before
// the first bad step, however late the host sees it.
using JudgeStep = void(Stream&, double clip, ConstView sums, ConstView losses, View gate, View report);

namespace cpu {
AdamW adamw;
Sgd sgd;
Adafactor adafactor;
SquareSums square_sums;
JudgeStep judge_step;
}  // namespace cpu

namespace gpu {
AdamW adamw;
Sgd sgd;
Adafactor adafactor;
SquareSums square_sums;
JudgeStep judge_step;
}  // namespace gpu

}  // namespace cambium
