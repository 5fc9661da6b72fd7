// Feed-forward activations as functions of one number, over float or double.
#pragma once

#include "core/cpu/math.h"
#include "core/kernels/activation.h"

namespace cambium::cpu {

// A call that is left in a loop keeps it from becoming vector code, and the compiler finds these too long to inline.
#define INLINED      \
  template <class F> \
  [[gnu::always_inline]] static F

// Each activation as value(x) and derivative(x), over float or double.
struct Relu {
  INLINED value(F x) { return x > 0 ? x : F(0); }
  INLINED derivative(F x) { return x > 0 ? F(1) : F(0); }
};

struct Gelu {  // x Phi(x);  Phi(x) + x phi(x)
  INLINED cdf(F x) { return F(0.5) * (1 + erf(x * F(0.70710678118654752))); }
  INLINED value(F x) { return x * cdf(x); }
  INLINED derivative(F x) { return cdf(x) + x * F(0.39894228040143268) * exp(F(-0.5) * x * x); }
};

struct GeluTanh {  // x / 2 (1 + tanh u),  u = sqrt(2 / pi) (x + 0.044715 x^3)
  INLINED inner(F x) { return F(0.79788456080286536) * (x + F(0.044715) * x * x * x); }
  INLINED value(F x) { return F(0.5) * x * (1 + tanh(inner(x))); }
  INLINED derivative(F x) {
    const F t = tanh(inner(x));
    const F slope = F(0.79788456080286536) * (1 + 3 * F(0.044715) * x * x);
    return F(0.5) * (1 + t) + F(0.5) * x * (1 - t * t) * slope;
  }
};

struct Silu {
  INLINED sigmoid(F x) { return 1 / (1 + exp(-x)); }
  INLINED value(F x) { return x * sigmoid(x); }
  INLINED derivative(F x) {
    const F s = sigmoid(x);
    return s * (1 + x * (1 - s));
  }
};

struct Tanh {
  INLINED value(F x) { return tanh(x); }
  INLINED derivative(F x) { return 1 - tanh(x) * tanh(x); }
};

#undef INLINED

template <class F>
void visit_activation(Activation a, const F& f) {
  switch (a) {
    case Activation::relu: return f(Relu());
    case Activation::gelu: return f(Gelu());
    case Activation::gelu_tanh: return f(GeluTanh());
    case Activation::silu: return f(Silu());
    case Activation::tanh: return f(Tanh());
  }
}

}  // namespace cambium::cpu
