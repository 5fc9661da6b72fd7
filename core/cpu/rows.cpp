// Moving rows on the CPU: embedding look-up and its gradient, selection, insertion. A row is one task.
#include "core/kernels/rows.h"

#include <cstring>

#include "core/cpu/parallel.h"

namespace cambium::cpu {

void gather_rows(Stream&, ConstView table, ConstView index, float scale, bool accumulate, View y) {
  const int64_t D = y.cols();
  const int32_t* row = index.data<int32_t>();
  visit(table.dtype(), [&]<class A>(Type<A>) {
    visit(y.dtype(), [&]<class T>(Type<T>) {
      const Wide<T> s = scale;
      parallel_rows(y.rows(), [&](int64_t n) {
        T* yn = y.row<T>(n);
        if (row[n] < 0) {
          if (!accumulate)
            for (int64_t d = 0; d < D; ++d) yn[d] = T(0.f);
          return;
        }
        const A* source = table.row<A>(row[n]);
        if (accumulate)
          for (int64_t d = 0; d < D; ++d) yn[d] = T(wide(yn[d]) + s * Wide<T>(wide(source[d])));
        else
          for (int64_t d = 0; d < D; ++d) yn[d] = T(s * Wide<T>(wide(source[d])));
      });
    });
  });
}

void scatter_rows(Stream&, ConstView x, ConstView index, View y) {
  const int32_t* row = index.data<int32_t>();
  CHECK(x.dtype() == y.dtype(), "scatter_rows: ", name_of(x.dtype()), " into ", name_of(y.dtype()));
  const int64_t size = size_of(x.dtype());
  parallel_rows(x.rows(), [&](int64_t n) {
    if (row[n] < 0) return;
    std::memcpy(y.row<char>(row[n] * size), x.row<char>(n * size), size_t(x.cols() * size));
  });
}

void sum_row_groups(Stream&, ConstView dy, const RowGroups& groups, float scale, View table) {
  const int64_t D = dy.cols();
  const int32_t *row = groups.row.data<int32_t>(), *begin = groups.begin.data<int32_t>(),
                *target = groups.target.data<int32_t>();
  visit(dy.dtype(), [&]<class T>(Type<T>) {
    const Wide<T> s = scale;
    parallel_rows(groups.count, [&](int64_t g) {
      Wide<T>* sum = table.row<Wide<T>>(target[g]);
      for (int32_t i = begin[g]; i < begin[g + 1]; ++i) {
        const T* source = dy.row<T>(row[i]);
        for (int64_t d = 0; d < D; ++d) sum[d] += s * wide(source[d]);
      }
    });
  });
}

}  // namespace cambium::cpu
