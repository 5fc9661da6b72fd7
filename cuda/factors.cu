// Factors of rows and columns on the GPU.
#include "core/kernels/factors.h"

#include "cuda/column_sum.cuh"
#include "cuda/elementwise.cuh"

namespace cambium::gpu {
namespace {

template <class T>
struct ScaleRowsOp {
  Rows<const T> x;
  const float* factor;
  Rows<T> y;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    float v[W];
    load(x[n] + d, v);
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] *= factor[n];
    store(y[n] + d, v);
  }
};

// A warp has a row.
template <class T>
__global__ void row_dots_kernel(Rows<const T> a, Rows<const T> b, float* y, int64_t N, int64_t D) {
  const int64_t n = int64_t(blockIdx.x) * blockDim.y + threadIdx.y;
  if (n >= N) return;
  float sum = 0;
  for (int64_t d = threadIdx.x; d < D; d += 32) sum += float(a[n][d]) * float(b[n][d]);
  sum = warp_sum(sum);
  if (threadIdx.x == 0) y[n] = sum;
}

template <class T>
struct ColumnDotTerm {
  Rows<const T> a, b;
  const float* centre;
  template <int W>
  __device__ void add(int64_t n, int64_t d, float (&sum)[W]) const {
    float v[W], w[W], c[W] = {};
    load(a[n] + d, v);
    load(b[n] + d, w);
    if (centre) load(centre + d, c);
#pragma unroll
    for (int i = 0; i < W; ++i) sum[i] += v[i] * (w[i] - c[i]);
  }
};

struct DivideByRootOp {
  const float *a, *square;
  float* y;
  template <int W>
  __device__ void at(int64_t, int64_t d) const {
    for (int i = 0; i < W; ++i) y[d + i] = a[d + i] / sqrtf(square[d + i]);
  }
};

}  // namespace

void scale_rows(Stream& stream, ConstView x, ConstView factor, View y) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    for_each_element<W>(stream, x.rows(), x.cols(), vector_ready(W, x, y),
                        ScaleRowsOp<T>{rows_of<T>(x), factor.data<float>(), rows_of<T>(y)});
  });
}

void row_dots(Stream& stream, ConstView a, ConstView b, View y) {
  if (a.rows() == 0) return;
  constexpr int kRows = 4;  // of a block
  visit_gpu(a.dtype(), [&]<class T>(Type<T>) {
    launch(row_dots_kernel<T>, dim3(unsigned(ceil_div(a.rows(), kRows))), dim3(32, kRows), 0, stream, rows_of<T>(a),
           rows_of<T>(b), y.data<float>(), a.rows(), a.cols());
  });
}

void column_dots(Stream& stream, ConstView a, ConstView b, ConstView centre, View y) {
  visit_gpu(a.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    const bool vector = vector_ready(W, a, b) && (!centre || vector_ready(W, centre));
    sum_over_rows<W>(stream, a.rows(), a.cols(), vector, false, y.data<float>(),
                     ColumnDotTerm<T>{rows_of<T>(a), rows_of<T>(b), centre ? centre.data<float>() : nullptr});
  });
}

void divide_by_root(Stream& stream, ConstView a, ConstView square, View y) {
  for_each_element<1>(stream, 1, a.cols(), false,
                      DivideByRootOp{a.data<float>(), square.data<float>(), y.data<float>()});
}

}  // namespace cambium::gpu
