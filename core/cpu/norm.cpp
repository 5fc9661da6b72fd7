// Normalisation on the CPU. A token is one task; sums over a row run in fixed lanes (lane_sum), so the
// bits depend neither on the number of threads nor on the width of the vector unit.
#include "core/kernels/norm.h"

#include <cmath>

#include "core/cpu/parallel.h"
#include "core/cpu/row_sums.h"

namespace cambium::cpu {
void rms_norm_forward(Stream&, ConstView x, ConstView weight, float epsilon, View y, View rstd) {
  const int64_t D = x.cols();
  visit(x.dtype(), [&]<class T>(Type<T>) {
    const Wide<T>* w = weight.data<Wide<T>>();
    parallel_rows(x.rows(), [&](int64_t n) {
      const T* xn = x.row<T>(n);
      T* yn = y.row<T>(n);
      const auto mean_square = lane_sum(D, [&](int64_t d) { return wide(xn[d]) * wide(xn[d]); }) / D;
      const auto r = 1 / std::sqrt(mean_square + epsilon);
      for (int64_t d = 0; d < D; ++d) yn[d] = T(wide(xn[d]) * r * w[d]);
      rstd.data<Wide<T>>()[n] = r;
    });
  });
}

void rms_norm_backward_input(Stream&, ConstView dy, ConstView x, ConstView weight, ConstView rstd, View dx) {
  const int64_t D = x.cols();
  visit(x.dtype(), [&]<class T>(Type<T>) {
    const Wide<T>* w = weight.data<Wide<T>>();
    parallel_rows(x.rows(), [&](int64_t n) {
      const T *xn = x.row<T>(n), *dyn = dy.row<T>(n);
      T* dxn = dx.row<T>(n);
      const Wide<T> r = rstd.data<Wide<T>>()[n];
      const auto ux = lane_sum(D, [&](int64_t d) { return wide(dyn[d]) * w[d] * wide(xn[d]); });
      const auto pull = r * r * ux / D;
      for (int64_t d = 0; d < D; ++d) dxn[d] = T(r * (wide(dyn[d]) * w[d] - wide(xn[d]) * pull));
    });
  });
}

void rms_norm_backward_weight(Stream& stream, ConstView dy, ConstView x, ConstView rstd, View dweight) {
  visit(x.dtype(), [&]<class T>(Type<T>) {
    const Wide<T>* r = rstd.data<Wide<T>>();
    sum_over_rows(stream, x.rows(), x.cols(), false, dweight.data<Wide<T>>(),
                  [&](int64_t n, int64_t d) { return wide(dy.row<T>(n)[d]) * wide(x.row<T>(n)[d]) * r[n]; });
  });
}

void layer_norm_forward(Stream&, ConstView x, ConstView weight, ConstView bias, float epsilon, View y, View mean,
                        View rstd) {
  const int64_t D = x.cols();
  visit(x.dtype(), [&]<class T>(Type<T>) {
    const Wide<T>*w = weight.data<Wide<T>>(), *b = bias.data<Wide<T>>();
    parallel_rows(x.rows(), [&](int64_t n) {
      const T* xn = x.row<T>(n);
      T* yn = y.row<T>(n);
      const auto m = lane_sum(D, [&](int64_t d) { return wide(xn[d]); }) / D;
      const auto variance = lane_sum(D, [&](int64_t d) { return (wide(xn[d]) - m) * (wide(xn[d]) - m); }) / D;
      const auto r = 1 / std::sqrt(variance + epsilon);
      if (b)
        for (int64_t d = 0; d < D; ++d) yn[d] = T((wide(xn[d]) - m) * r * w[d] + b[d]);
      else
        for (int64_t d = 0; d < D; ++d) yn[d] = T((wide(xn[d]) - m) * r * w[d]);
      mean.data<Wide<T>>()[n] = m;
      rstd.data<Wide<T>>()[n] = r;
    });
  });
}

void layer_norm_backward_input(Stream&, ConstView dy, ConstView x, ConstView weight, ConstView mean, ConstView rstd,
                               View dx) {
  const int64_t D = x.cols();
  visit(x.dtype(), [&]<class T>(Type<T>) {
    const Wide<T>* w = weight.data<Wide<T>>();
    parallel_rows(x.rows(), [&](int64_t n) {
      const T *xn = x.row<T>(n), *dyn = dy.row<T>(n);
      T* dxn = dx.row<T>(n);
      const Wide<T> m = mean.data<Wide<T>>()[n], r = rstd.data<Wide<T>>()[n];
      const auto u = [&](int64_t d) { return wide(dyn[d]) * w[d]; };
      const auto h = [&](int64_t d) { return (wide(xn[d]) - m) * r; };
      const auto mean_u = lane_sum(D, u) / D;
      const auto mean_uh = lane_sum(D, [&](int64_t d) { return u(d) * h(d); }) / D;
      for (int64_t d = 0; d < D; ++d) dxn[d] = T(r * (u(d) - mean_u - h(d) * mean_uh));
    });
  });
}

void layer_norm_backward_weight(Stream& stream, ConstView dy, ConstView x, ConstView mean, ConstView rstd,
                                View dweight) {
  visit(x.dtype(), [&]<class T>(Type<T>) {
    const Wide<T>*m = mean.data<Wide<T>>(), *r = rstd.data<Wide<T>>();
    sum_over_rows(stream, x.rows(), x.cols(), false, dweight.data<Wide<T>>(),
                  [&](int64_t n, int64_t d) { return wide(dy.row<T>(n)[d]) * (wide(x.row<T>(n)[d]) - m[n]) * r[n]; });
  });
}

}  // namespace cambium::cpu
