// Feed-forward activations on the CPU. A row is one task.
#include "core/kernels/activation.h"

#include "core/cpu/math.h"
#include "core/cpu/parallel.h"

namespace cambium::cpu {
namespace {

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

// Calls row(n, bias) for each row, with the element type T and the activation; bias[d] is 0 where absent.
template <class Row>
void for_each_row(Activation kind, DType dtype, int64_t rows, ConstView bias, const Row& row) {
  visit(dtype, [&]<class T>(Type<T> type) {
    visit_activation(kind, [&](auto act) {
      const Wide<T>* b = bias.data<Wide<T>>();
      if (b) parallel_rows(rows, [&](int64_t n) { row(type, act, n, [b](int64_t d) { return b[d]; }); });
      else parallel_rows(rows, [&](int64_t n) { row(type, act, n, [](int64_t) { return Wide<T>(0); }); });
    });
  });
}

}  // namespace

void activation_forward(Stream&, Activation kind, ConstView x, ConstView bias, View y) {
  const int64_t F = x.cols();
  for_each_row(kind, x.dtype(), x.rows(), bias, [&]<class T>(Type<T>, auto act, int64_t n, auto b) {
    const T* xn = x.row<T>(n);
    T* yn = y.row<T>(n);
    for (int64_t d = 0; d < F; ++d) yn[d] = T(act.value(wide(xn[d]) + b(d)));
  });
}

void activation_backward(Stream&, Activation kind, ConstView dy, ConstView x, ConstView bias, View dx) {
  const int64_t F = x.cols();
  for_each_row(kind, x.dtype(), x.rows(), bias, [&]<class T>(Type<T>, auto act, int64_t n, auto b) {
    const T *xn = x.row<T>(n), *dyn = dy.row<T>(n);
    T* dxn = dx.row<T>(n);
    for (int64_t d = 0; d < F; ++d) dxn[d] = T(wide(dyn[d]) * act.derivative(wide(xn[d]) + b(d)));
  });
}

void gated_forward(Stream&, Activation kind, ConstView x, ConstView bias, View y) {
  const int64_t F = y.cols();
  for_each_row(kind, x.dtype(), x.rows(), bias, [&]<class T>(Type<T>, auto act, int64_t n, auto b) {
    const T *gate = x.row<T>(n), *up = gate + F;
    T* yn = y.row<T>(n);
    for (int64_t d = 0; d < F; ++d) yn[d] = T(act.value(wide(gate[d]) + b(d)) * (wide(up[d]) + b(F + d)));
  });
}

void gated_backward(Stream&, Activation kind, ConstView dy, ConstView x, ConstView bias, View dx) {
  const int64_t F = dy.cols();
  for_each_row(kind, x.dtype(), x.rows(), bias, [&]<class T>(Type<T>, auto act, int64_t n, auto b) {
    const T *gate = x.row<T>(n), *up = gate + F, *dyn = dy.row<T>(n);
    T *dgate = dx.row<T>(n), *dup = dgate + F;
    for (int64_t d = 0; d < F; ++d) {
      const Wide<T> g = wide(gate[d]) + b(d), u = wide(up[d]) + b(F + d), slope = wide(dyn[d]);
      dgate[d] = T(slope * u * act.derivative(g));
      dup[d] = T(slope * act.value(g));
    }
  });
}

}  // namespace cambium::cpu
