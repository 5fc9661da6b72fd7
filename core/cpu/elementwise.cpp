// Element-wise kernels and column sums on the CPU. A row is one task.
#include "core/kernels/elementwise.h"

#include "core/cpu/row_sums.h"

namespace cambium::cpu {
namespace {

// Calls f(Type<A>, Type<B>) with the element types of two views.
template <class F>
void visit_pair(DType a, DType b, const F& f) {
  visit(a, [&]<class A>(Type<A> ta) { visit(b, [&]<class B>(Type<B> tb) { f(ta, tb); }); });
}

// Long rows and few of them: cut a contiguous matrix into rows of at most 16384 elements.
template <class Body>
void for_each_piece(int64_t rows, int64_t cols, const Body& body) {
  constexpr int64_t kPiece = 16384;
  const int64_t pieces = std::max<int64_t>(1, (cols + kPiece - 1) / kPiece);
  parallel_rows(rows * pieces, [&](int64_t i) {
    const int64_t begin = i % pieces * kPiece;
    body(i / pieces, begin, std::min(cols, begin + kPiece));
  });
}

}  // namespace

void convert(Stream&, ConstView x, View y) {
  visit_pair(x.dtype(), y.dtype(), [&]<class X, class Y>(Type<X>, Type<Y>) {
    for_each_piece(x.rows(), x.cols(), [&](int64_t n, int64_t begin, int64_t end) {
      const X* xn = x.row<X>(n);
      Y* yn = y.row<Y>(n);
      for (int64_t d = begin; d < end; ++d) yn[d] = Y(wide(xn[d]));
    });
  });
}

void add_scaled(Stream&, ConstView a, ConstView b, float scale, View y) {
  visit_pair(a.dtype(), b.dtype(), [&]<class A, class B>(Type<A>, Type<B>) {
    const Wide<A> s = scale;
    for_each_piece(a.rows(), a.cols(), [&](int64_t n, int64_t begin, int64_t end) {
      const A* an = a.row<A>(n);
      const B* bn = b.row<B>(n);
      A* yn = y.row<A>(n);
      for (int64_t d = begin; d < end; ++d) yn[d] = A(wide(an[d]) + s * Wide<A>(wide(bn[d])));
    });
  });
}

void scale(Stream&, ConstView x, double scale, View y) {
  visit(x.dtype(), [&]<class T>(Type<T>) {
    for_each_piece(x.rows(), x.cols(), [&](int64_t n, int64_t begin, int64_t end) {
      const T* xn = x.row<T>(n);
      T* yn = y.row<T>(n);
      for (int64_t d = begin; d < end; ++d) yn[d] = T(wide(xn[d]) * Wide<T>(scale));
    });
  });
}

void scale_by(Stream& stream, ConstView x, ConstView factor, View y) {
  const double f = factor.dtype() == DType::f64 ? *factor.data<double>() : double(*factor.data<float>());
  if (f != 1 || x.pointer != y.pointer) scale(stream, x, f, y);
}

void scale_columns(Stream&, ConstView x, ConstView factor, ConstView centre, View y) {
  visit(x.dtype(), [&]<class T>(Type<T>) {
    const Wide<T>* f = factor.data<Wide<T>>();
    const Wide<T>* c = centre ? centre.data<Wide<T>>() : nullptr;
    for_each_piece(x.rows(), x.cols(), [&](int64_t n, int64_t begin, int64_t end) {
      const T* xn = x.row<T>(n);
      T* yn = y.row<T>(n);
      if (c)
        for (int64_t d = begin; d < end; ++d) yn[d] = T(wide(xn[d]) * f[d] + (1 - f[d]) * c[d]);
      else
        for (int64_t d = begin; d < end; ++d) yn[d] = T(wide(xn[d]) * f[d]);
    });
  });
}

void column_sum(Stream& stream, ConstView x, bool accumulate, View y) {
  visit(x.dtype(), [&]<class T>(Type<T>) {
    sum_over_rows(stream, x.rows(), x.cols(), accumulate, y.data<Wide<T>>(),
                  [&](int64_t n, int64_t d) { return wide(x.row<T>(n)[d]); });
  });
}

}  // namespace cambium::cpu
