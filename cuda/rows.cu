// Moving rows on the GPU: embedding look-up and its gradient, selection, insertion.
#include "core/kernels/rows.h"

#include "cuda/elementwise.cuh"

namespace cambium::gpu {
namespace {

template <class A, class T>
struct GatherOp {
  Rows<const A> table;
  const int32_t* index;
  float scale;
  bool accumulate;
  Rows<T> y;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    const int32_t r = index[n];
    if (r < 0 && accumulate) return;
    float v[W] = {}, old[W] = {};
    if (r >= 0) load(table[r] + d, v);
    if (accumulate) load(y[n] + d, old);
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] = old[i] + scale * v[i];
    store(y[n] + d, v);
  }
};

// T is 4 or 2 bytes of anything.
template <class T>
struct ScatterOp {
  Rows<const T> x;
  const int32_t* index;
  Rows<T> y;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    using Word = typename WordOf<W* int(sizeof(T))>::type;
    const int32_t r = index[n];
    if (r >= 0) *reinterpret_cast<Word*>(y[r] + d) = *reinterpret_cast<const Word*>(x[n] + d);
  }
};

// Row n is a group. Its target is read only where the group has rows: surplus groups of a capacity
// have none.
template <class T>
struct SumGroupOp {
  Rows<const T> dy;
  const int32_t *row, *begin, *target;
  float scale;
  Rows<float> table;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    const int32_t first = begin[n], end = begin[n + 1];
    if (first == end) return;
    float* out = table[target[n]] + d;
    float sum[W];
    load(out, sum);
#pragma unroll 4
    for (int32_t i = first; i < end; ++i) {
      float v[W];
      load(dy[row[i]] + d, v);
#pragma unroll
      for (int k = 0; k < W; ++k) sum[k] += scale * v[k];
    }
    store(out, sum);
  }
};

}  // namespace

void gather_rows(Stream& stream, ConstView table, ConstView index, float scale, bool accumulate, View y) {
  visit_gpu(table.dtype(), [&]<class A>(Type<A>) {
    visit_gpu(y.dtype(), [&]<class T>(Type<T>) {
      constexpr int W = std::max(kPack<A>, kPack<T>);
      for_each_element<W>(stream, y.rows(), y.cols(), vector_ready(W, table, y),
                          GatherOp<A, T>{rows_of<A>(table), index.data<int32_t>(), scale, accumulate, rows_of<T>(y)});
    });
  });
}

void scatter_rows(Stream& stream, ConstView x, ConstView index, View y) {
  CHECK(x.dtype() == y.dtype(), "scatter_rows: ", name_of(x.dtype()), " into ", name_of(y.dtype()));
  const auto run = [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    const auto pointer = [](const ConstView& v) { return static_cast<T*>(const_cast<void*>(v.pointer)); };
    for_each_element<W>(stream, x.rows(), x.cols(), vector_ready(W, x, y),
                        ScatterOp<T>{{pointer(x), x.stride}, index.data<int32_t>(), {pointer(y), y.stride}});
  };
  if (size_of(x.dtype()) == 2) run(Type<uint16_t>());
  else run(Type<uint32_t>());
}

void sum_row_groups(Stream& stream, ConstView dy, const RowGroups& groups, float scale, View table) {
  visit_gpu(dy.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    for_each_element<W>(stream, groups.count, dy.cols(), vector_ready(W, dy, table),
                        SumGroupOp<T>{rows_of<T>(dy), groups.row.data<int32_t>(), groups.begin.data<int32_t>(),
                                      groups.target.data<int32_t>(), scale, rows_of<float>(table)});
  });
}

}  // namespace cambium::gpu
