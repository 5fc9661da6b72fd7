// Factors of rows and columns on the CPU. A row is one task.
#include "core/kernels/factors.h"

#include <cmath>

#include "core/cpu/row_sums.h"

namespace cambium::cpu {

void scale_rows(Stream&, ConstView x, ConstView factor, View y) {
  visit(x.dtype(), [&]<class T>(Type<T>) {
    const Wide<T>* f = factor.data<Wide<T>>();
    parallel_rows(x.rows(), [&](int64_t n) {
      const T* xn = x.row<T>(n);
      T* yn = y.row<T>(n);
      for (int64_t d = 0; d < x.cols(); ++d) yn[d] = T(wide(xn[d]) * f[n]);
    });
  });
}

void row_dots(Stream&, ConstView a, ConstView b, View y) {
  visit(a.dtype(), [&]<class T>(Type<T>) {
    parallel_rows(a.rows(), [&](int64_t n) {
      const T *an = a.row<T>(n), *bn = b.row<T>(n);
      y.data<Wide<T>>()[n] = lane_sum(a.cols(), [&](int64_t d) { return wide(an[d]) * wide(bn[d]); });
    });
  });
}

void column_dots(Stream& stream, ConstView a, ConstView b, ConstView centre, View y) {
  visit(a.dtype(), [&]<class T>(Type<T>) {
    const Wide<T>* c = centre ? centre.data<Wide<T>>() : nullptr;
    sum_over_rows(stream, a.rows(), a.cols(), false, y.data<Wide<T>>(), [&](int64_t n, int64_t d) {
      return wide(a.row<T>(n)[d]) * (wide(b.row<T>(n)[d]) - (c ? c[d] : Wide<T>(0)));
    });
  });
}

void divide_by_root(Stream&, ConstView a, ConstView square, View y) {
  visit(a.dtype(), [&]<class T>(Type<T>) {
    const Wide<T>*from = a.data<Wide<T>>(), *s = square.data<Wide<T>>();
    for (int64_t d = 0; d < a.cols(); ++d) y.data<Wide<T>>()[d] = from[d] / std::sqrt(s[d]);
  });
}

}  // namespace cambium::cpu
