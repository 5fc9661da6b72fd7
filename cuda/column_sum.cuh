// Sums over rows in a fixed order (gradients of biases and norm weights): rows in order within
// blocks of kRowsPerBlock, into partial [blocks, D]; then eight slices of the blocks, each in
// order, then the slices.
#pragma once

#include "core/kernels/elementwise.h"
#include "core/memory.h"
#include "cuda/device.cuh"

namespace cambium::gpu {

// Term has `template <int W> __device__ void add(int64_t n, int64_t d, float (&sum)[W]) const`.
template <int W, class Term>
__global__ void partial_sums_kernel(Term term, float* partial, int64_t N, int64_t D) {
  const int64_t d = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * W;
  const int64_t block = int64_t(blockIdx.y) * blockDim.y + threadIdx.y;
  const int64_t begin = block * kRowsPerBlock, end = min(N, begin + kRowsPerBlock);
  if (d >= D || begin >= N) return;
  float sum[W] = {};
#pragma unroll 8
  for (int64_t n = begin; n < end; ++n) term.template add<W>(n, d, sum);
  store(partial + block * D + d, sum);
}

inline constexpr int kSlices = 8;

template <bool kAccumulate>
__global__ void sum_partials_kernel(const float* partial, float* out, int64_t blocks, int64_t D) {
  __shared__ float slice_sum[kSlices][32];
  const int64_t d = int64_t(blockIdx.x) * 32 + threadIdx.x;
  float sum = 0;
  if (d < D)
#pragma unroll 4
    for (int64_t b = threadIdx.y; b < blocks; b += kSlices) sum += partial[b * D + d];
  slice_sum[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || d >= D) return;
  for (int s = 1; s < kSlices; ++s) sum += slice_sum[s][threadIdx.x];
  out[d] = kAccumulate ? out[d] + sum : sum;
}

// out[d] (+)= sum_n term(n, d), W columns a thread if `vector`.
template <int W, class Term>
void sum_over_rows(LaunchSite site, int64_t N, int64_t D, bool vector, bool accumulate, float* out, const Term& term) {
  const int64_t blocks = ceil_div(N, kRowsPerBlock);
  Scratch<float> partial(site.stream, blocks * D);
  const Plane plane(blocks, vector ? D / W : D);
  CHECK(ceil_div(blocks, plane.block.y) <= plane.grid.y, "a sum over ", N, " rows: too many");
  if (vector) launch(partial_sums_kernel<W, Term>, plane.grid, plane.block, 0, site, term, partial.data(), N, D);
  else launch(partial_sums_kernel<1, Term>, plane.grid, plane.block, 0, site, term, partial.data(), N, D);
  launch(accumulate ? sum_partials_kernel<true> : sum_partials_kernel<false>, dim3(unsigned(ceil_div(D, 32))),
         dim3(32, kSlices), 0, site, partial.data(), out, blocks, D);
}

}  // namespace cambium::gpu
