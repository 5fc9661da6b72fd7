// One step of an LSTM on the CPU. A row is one task.
#include "core/kernels/lstm.h"

#include <cmath>

#include "core/cpu/parallel.h"

namespace cambium::cpu {
namespace {

template <class S>
S sigmoid(S x) {
  return 1 / (1 + std::exp(-x));
}

}  // namespace

void lstm_step(Stream&, View gates, ConstView c_before, View c, View h) {
  const int64_t H = h.cols();
  visit(gates.dtype(), [&]<class T>(Type<T>) {
    using S = Wide<T>;
    parallel_rows(gates.rows(), [&](int64_t n) {
      S* a = gates.row<S>(n);
      const S* before = c_before ? c_before.row<S>(n) : nullptr;
      for (int64_t k = 0; k < H; ++k) {
        S &i = a[k], &f = a[H + k], &g = a[2 * H + k], &o = a[3 * H + k];
        i = sigmoid(i), f = sigmoid(f), g = std::tanh(g), o = sigmoid(o);
        const S cell = (before ? f * before[k] : 0) + i * g;
        c.row<S>(n)[k] = cell;
        h.row<S>(n)[k] = o * std::tanh(cell);
      }
    });
  });
}

void lstm_step_backward(Stream&, ConstView gates, ConstView c_before, ConstView c, ConstView dh, View dc, View dgates) {
  const int64_t H = dh.cols();
  visit(gates.dtype(), [&]<class T>(Type<T>) {
    using S = Wide<T>;
    parallel_rows(gates.rows(), [&](int64_t n) {
      const S* a = gates.row<S>(n);
      const S* before = c_before ? c_before.row<S>(n) : nullptr;
      S* d = dgates.row<S>(n);
      for (int64_t k = 0; k < H; ++k) {
        const S i = a[k], f = a[H + k], g = a[2 * H + k], o = a[3 * H + k];
        const S tanh_c = std::tanh(c.row<S>(n)[k]), dh_k = dh.row<S>(n)[k];
        const S dcell = dc.row<S>(n)[k] + dh_k * o * (1 - tanh_c * tanh_c);
        d[k] = dcell * g * i * (1 - i);
        d[H + k] = (before ? dcell * before[k] : 0) * f * (1 - f);
        d[2 * H + k] = dcell * i * (1 - g * g);
        d[3 * H + k] = dh_k * tanh_c * o * (1 - o);
        dc.row<S>(n)[k] = dcell * f;
      }
    });
  });
}

}  // namespace cambium::cpu
