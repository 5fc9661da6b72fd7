// Dropout on the GPU. One thread asks Philox once and uses all four words: for channels d, d + 16,
// d + 32 and d + 48 of a group of 64 (channel_counter in core/random.h); neighbouring threads hold
// neighbouring channels.
#include "core/kernels/dropout.h"

#include "cuda/device.cuh"

namespace cambium::gpu {
namespace {

template <class T>
__global__ void dropout_kernel(RandomKey key, uint32_t threshold, float scale, Rows<const T> x,
                               Rows<const int32_t> token, Rows<const T> residual, Rows<T> y, int64_t N, int D) {
  const uint32_t counter = blockIdx.x * blockDim.x + threadIdx.x;
  const int first = int(counter / 16 * 64 + counter % 16);
  if (first >= D) return;
  for (int64_t n = blockIdx.y * blockDim.y + threadIdx.y; n < N; n += gridDim.y * blockDim.y) {
    const RandomWords random = philox(key, counter, uint32_t(token[n][1]), uint32_t(token[n][0]), 0);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int d = first + 16 * i;
      if (d >= D) break;
      float v = random.word[i] >= threshold ? float(x[n][d]) * scale : 0.f;
      if (residual.data) v += float(residual[n][d]);
      store_one(y[n] + d, v);
    }
  }
}

}  // namespace

void dropout(Stream& stream, const DropoutConfig& config, ConstView x, ConstView token, ConstView residual, View y) {
  const int64_t N = x.rows(), D = x.cols(), counters = ceil_div(D, 64) * 16;
  if (N == 0 || D == 0) return;
  const Plane plane(N, counters);
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    launch(dropout_kernel<T>, plane.grid, plane.block, 0, stream, config.key, drop_threshold(config.probability),
           1 / (1 - config.probability), rows_of<T>(x), rows_of<int32_t>(token),
           residual ? rows_of<T>(residual) : Rows<const T>{nullptr, 0}, rows_of<T>(y), N, int(D));
  });
}

}  // namespace cambium::gpu
