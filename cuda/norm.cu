// Normalisation on the GPU. Short rows have a warp each, long ones a block of eight warps; a thread
// sums the pieces of sixteen bytes that fall to it, then threads and warps are summed, always in
// the same order.
#include "core/kernels/norm.h"

#include "cuda/column_sum.cuh"

namespace cambium::gpu {
namespace {

constexpr int kLongRowWarps = 8, kShortRows = 4;  // warps of a long row; short rows of a block

// Calls body(d) for the pieces of W columns that fall to this thread.
template <int kWarps, int W, class Body>
__device__ void for_my_pieces(int D, const Body& body) {
#pragma unroll 4
  for (int d = threadIdx.x * W; d < D; d += kWarps * 32 * W) body(d);
}

template <class T, bool kVector, int kWarps>
__global__ void rms_norm_forward_kernel(Rows<const T> x, const float* weight, float epsilon, Rows<T> y, float* rstd,
                                        int64_t N, int D) {
  constexpr int W = kPack<T>;
  const int64_t n = int64_t(blockIdx.x) * blockDim.y + threadIdx.y;
  if (n >= N) return;
  float square = 0;
  for_my_pieces<kWarps, W>(D, [&](int d) {
    float v[W];
    load<kVector>(x[n] + d, D - d, v);
#pragma unroll
    for (int i = 0; i < W; ++i) square += v[i] * v[i];
  });
  const float r = 1 / sqrtf(block_sum<kWarps>(square) / D + epsilon);
  for_my_pieces<kWarps, W>(D, [&](int d) {
    float v[W], w[W];
    load<kVector>(x[n] + d, D - d, v);
    load<kVector>(weight + d, D - d, w);
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] = v[i] * r * w[i];
    store<kVector>(y[n] + d, D - d, v);
  });
  if (threadIdx.x == 0) rstd[n] = r;
}

template <class T, bool kVector, int kWarps>
__global__ void rms_norm_backward_input_kernel(Rows<const T> dy, Rows<const T> x, const float* weight,
                                               const float* rstd, Rows<T> dx, int64_t N, int D) {
  constexpr int W = kPack<T>;
  const int64_t n = int64_t(blockIdx.x) * blockDim.y + threadIdx.y;
  if (n >= N) return;
  float ux = 0;
  for_my_pieces<kWarps, W>(D, [&](int d) {
    float g[W], v[W], w[W];
    load<kVector>(dy[n] + d, D - d, g);
    load<kVector>(x[n] + d, D - d, v);
    load<kVector>(weight + d, D - d, w);
#pragma unroll
    for (int i = 0; i < W; ++i) ux += g[i] * w[i] * v[i];
  });
  const float r = rstd[n];
  const float pull = r * r * block_sum<kWarps>(ux) / D;
  for_my_pieces<kWarps, W>(D, [&](int d) {
    float g[W], v[W], w[W];
    load<kVector>(dy[n] + d, D - d, g);
    load<kVector>(x[n] + d, D - d, v);
    load<kVector>(weight + d, D - d, w);
#pragma unroll
    for (int i = 0; i < W; ++i) g[i] = r * (g[i] * w[i] - v[i] * pull);
    store<kVector>(dx[n] + d, D - d, g);
  });
}

template <class T, bool kVector, int kWarps>
__global__ void layer_norm_forward_kernel(Rows<const T> x, const float* weight, const float* bias, float epsilon,
                                          Rows<T> y, float* mean, float* rstd, int64_t N, int D) {
  constexpr int W = kPack<T>;
  const int64_t n = int64_t(blockIdx.x) * blockDim.y + threadIdx.y;
  if (n >= N) return;
  float sum = 0;
  for_my_pieces<kWarps, W>(D, [&](int d) {
    float v[W];
    load<kVector>(x[n] + d, D - d, v);
#pragma unroll
    for (int i = 0; i < W; ++i) sum += v[i];
  });
  const float m = block_sum<kWarps>(sum) / D;
  float square = 0;
  for_my_pieces<kWarps, W>(D, [&](int d) {
    float v[W];
    load<kVector>(x[n] + d, D - d, v);
#pragma unroll
    for (int i = 0; i < W; ++i) square += d + i < D ? (v[i] - m) * (v[i] - m) : 0.f;
  });
  const float r = 1 / sqrtf(block_sum<kWarps>(square) / D + epsilon);
  for_my_pieces<kWarps, W>(D, [&](int d) {
    float v[W], w[W], b[W] = {};
    load<kVector>(x[n] + d, D - d, v);
    load<kVector>(weight + d, D - d, w);
    if (bias) load<kVector>(bias + d, D - d, b);
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] = (v[i] - m) * r * w[i] + b[i];
    store<kVector>(y[n] + d, D - d, v);
  });
  if (threadIdx.x == 0) mean[n] = m, rstd[n] = r;
}

template <class T, bool kVector, int kWarps>
__global__ void layer_norm_backward_input_kernel(Rows<const T> dy, Rows<const T> x, const float* weight,
                                                 const float* mean, const float* rstd, Rows<T> dx, int64_t N, int D) {
  constexpr int W = kPack<T>;
  const int64_t n = int64_t(blockIdx.x) * blockDim.y + threadIdx.y;
  if (n >= N) return;
  const float m = mean[n], r = rstd[n];
  float sums[2] = {};  // of u and of u h
  for_my_pieces<kWarps, W>(D, [&](int d) {
    float g[W], v[W], w[W];
    load<kVector>(dy[n] + d, D - d, g);
    load<kVector>(x[n] + d, D - d, v);
    load<kVector>(weight + d, D - d, w);
#pragma unroll
    for (int i = 0; i < W; ++i) {
      const float u = g[i] * w[i];
      sums[0] += u;
      sums[1] += u * ((v[i] - m) * r);
    }
  });
  block_sum<kWarps>(sums);
  const float mean_u = sums[0] / D, mean_uh = sums[1] / D;
  for_my_pieces<kWarps, W>(D, [&](int d) {
    float g[W], v[W], w[W];
    load<kVector>(dy[n] + d, D - d, g);
    load<kVector>(x[n] + d, D - d, v);
    load<kVector>(weight + d, D - d, w);
#pragma unroll
    for (int i = 0; i < W; ++i) g[i] = r * (g[i] * w[i] - mean_u - (v[i] - m) * r * mean_uh);
    store<kVector>(dx[n] + d, D - d, g);
  });
}

template <class T>
struct RmsWeightTerm {
  Rows<const T> dy, x;
  const float* rstd;
  template <int W>
  __device__ void add(int64_t n, int64_t d, float (&sum)[W]) const {
    float g[W], v[W];
    load(dy[n] + d, g);
    load(x[n] + d, v);
#pragma unroll
    for (int i = 0; i < W; ++i) sum[i] += g[i] * v[i] * rstd[n];
  }
};

template <class T>
struct LayerWeightTerm {
  Rows<const T> dy, x;
  const float *mean, *rstd;
  template <int W>
  __device__ void add(int64_t n, int64_t d, float (&sum)[W]) const {
    float g[W], v[W];
    load(dy[n] + d, g);
    load(x[n] + d, v);
#pragma unroll
    for (int i = 0; i < W; ++i) sum[i] += g[i] * ((v[i] - mean[n]) * rstd[n]);
  }
};

// Calls run(kVector, kWarps, grid, block) for rows of D elements of T; short rows are read in at
// most eight pieces a thread.
template <class T, class Run>
void for_rows(int64_t N, int64_t D, bool vector, const Run& run) {
  const auto with = [&](auto kVector) {
    if (D <= 8 * 32 * kPack<T>)
      run(kVector, std::integral_constant<int, 1>(), dim3(unsigned(ceil_div(N, kShortRows))), dim3(32, kShortRows));
    else run(kVector, std::integral_constant<int, kLongRowWarps>(), dim3(unsigned(N)), dim3(32 * kLongRowWarps));
  };
  if (vector) with(std::true_type());
  else with(std::false_type());
}

}  // namespace

void rms_norm_forward(Stream& stream, ConstView x, ConstView weight, float epsilon, View y, View rstd) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    for_rows<T>(x.rows(), x.cols(), vector_ready(kPack<T>, x, weight, y), [&](auto v, auto w, dim3 grid, dim3 block) {
      launch(rms_norm_forward_kernel<T, v, w>, grid, block, 0, stream, rows_of<T>(x), weight.data<float>(), epsilon,
             rows_of<T>(y), rstd.data<float>(), x.rows(), int(x.cols()));
    });
  });
}

void rms_norm_backward_input(Stream& stream, ConstView dy, ConstView x, ConstView weight, ConstView rstd, View dx) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    for_rows<T>(x.rows(), x.cols(), vector_ready(kPack<T>, dy, x, weight, dx),
                [&](auto v, auto w, dim3 grid, dim3 block) {
                  launch(rms_norm_backward_input_kernel<T, v, w>, grid, block, 0, stream, rows_of<T>(dy), rows_of<T>(x),
                         weight.data<float>(), rstd.data<float>(), rows_of<T>(dx), x.rows(), int(x.cols()));
                });
  });
}

void rms_norm_backward_weight(Stream& stream, ConstView dy, ConstView x, ConstView rstd, View dweight) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    sum_over_rows<kPack<T>>(stream, x.rows(), x.cols(), vector_ready(kPack<T>, dy, x), false, dweight.data<float>(),
                            RmsWeightTerm<T>{rows_of<T>(dy), rows_of<T>(x), rstd.data<float>()});
  });
}

void layer_norm_forward(Stream& stream, ConstView x, ConstView weight, ConstView bias, float epsilon, View y, View mean,
                        View rstd) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    for_rows<T>(x.rows(), x.cols(), vector_ready(kPack<T>, x, weight, bias, y),
                [&](auto v, auto w, dim3 grid, dim3 block) {
                  launch(layer_norm_forward_kernel<T, v, w>, grid, block, 0, stream, rows_of<T>(x),
                         weight.data<float>(), bias.data<float>(), epsilon, rows_of<T>(y), mean.data<float>(),
                         rstd.data<float>(), x.rows(), int(x.cols()));
                });
  });
}

void layer_norm_backward_input(Stream& stream, ConstView dy, ConstView x, ConstView weight, ConstView mean,
                               ConstView rstd, View dx) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    for_rows<T>(
        x.rows(), x.cols(), vector_ready(kPack<T>, dy, x, weight, dx), [&](auto v, auto w, dim3 grid, dim3 block) {
          launch(layer_norm_backward_input_kernel<T, v, w>, grid, block, 0, stream, rows_of<T>(dy), rows_of<T>(x),
                 weight.data<float>(), mean.data<float>(), rstd.data<float>(), rows_of<T>(dx), x.rows(), int(x.cols()));
        });
  });
}

void layer_norm_backward_weight(Stream& stream, ConstView dy, ConstView x, ConstView mean, ConstView rstd,
                                View dweight) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    sum_over_rows<kPack<T>>(stream, x.rows(), x.cols(), vector_ready(kPack<T>, dy, x), false, dweight.data<float>(),
                            LayerWeightTerm<T>{rows_of<T>(dy), rows_of<T>(x), mean.data<float>(), rstd.data<float>()});
  });
}

}  // namespace cambium::gpu
