// Feed-forward activations on the CPU. A row is one task.
#include "core/kernels/activation.h"

#include "core/cpu/activations.h"
#include "core/cpu/parallel.h"

namespace cambium::cpu {
namespace {

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
