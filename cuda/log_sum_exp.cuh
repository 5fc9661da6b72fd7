// log sum exp of a row by one block, in one pass over memory: each thread keeps the largest value
// it has seen and the sum of exponentials below it (Milakov & Gimelshein 2018); then threads and
// warps are joined in order.
#pragma once

#include "cuda/device.cuh"

namespace cambium::gpu {

inline constexpr int kRowPiece = 4;  // floats that a thread takes at a time

// Calls body(d, v) for this thread's pieces x[d ... d + 4) of a row; beyond its end v is -inf.
// kVector: rows start at multiples of sixteen bytes.
template <bool kVector, class Body>
__device__ void for_row_pieces(const float* x, int V, const Body& body) {
#pragma unroll 2
  for (int d = int(threadIdx.x) * kRowPiece; d < V; d += int(blockDim.x) * kRowPiece) {
    float v[kRowPiece];
    const bool whole = d + kRowPiece <= V;
    if (kVector && whole) load(x + d, v);
    else load_some(x + d, V - d, v);
#pragma unroll
    for (int i = 0; i < kRowPiece; ++i)
      if (!whole && d + i >= V) v[i] = -INFINITY;
    body(d, v);
  }
}

template <bool kVector>
__device__ void store_row_piece(float* y, int V, int d, const float (&v)[kRowPiece]) {
  if (kVector && d + kRowPiece <= V) store(y + d, v);
  else store_some(y + d, V - d, v);
}

// log sum exp as most + log sum, with sum = sum of exp(x - most): precise where the values are
// large.
struct LogSum {
  float most, sum;
  __device__ float log() const { return most + logf(sum); }
};

// In every thread of a block of kWarps warps. total: the sum of the row, if asked for.
template <bool kVector, int kWarps, bool kTotal = false>
__device__ LogSum log_sum_exp(const float* x, int V, float* total = nullptr) {
  float most = -INFINITY, sums[2] = {};  // of the exponentials, of the values
  for_row_pieces<kVector>(x, V, [&](int d, const float(&v)[kRowPiece]) {
    float largest = most;
#pragma unroll
    for (int i = 0; i < kRowPiece; ++i) largest = fmaxf(largest, v[i]);
    if (largest > most) {
      sums[0] *= expf(most - largest);
      most = largest;
    }
#pragma unroll
    for (int i = 0; i < kRowPiece; ++i) {
      if (most > -INFINITY) sums[0] += expf(v[i] - most);
      if (kTotal && d + i < V) sums[1] += v[i];
    }
  });
  __shared__ float of_warp[kWarps];
  const float warp_most = warp_max(most);
  __syncthreads();
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = warp_most;
  __syncthreads();
  float row_most = of_warp[0];
#pragma unroll
  for (int w = 1; w < kWarps; ++w) row_most = fmaxf(row_most, of_warp[w]);
  sums[0] *= most > -INFINITY ? expf(most - row_most) : 0.f;
  block_sum<kWarps>(sums);
  if constexpr (kTotal) *total = sums[1];
  return {row_most, sums[0]};
}

// Whether rows of logits start at multiples of sixteen bytes. Their length does not matter.
template <class... Views>
bool rows_ready(const Views&... logits) {
  return (vector_ready(kRowPiece, logits.columns(0, logits.cols() / kRowPiece * kRowPiece)) && ...);
}

// Calls run(kVector, kWarps) for rows of V logits: few warps for short rows.
template <class Run>
void for_logits(int64_t V, bool vector, const Run& run) {
  const auto with = [&](auto kVector) {
    if (V <= 2048) run(kVector, std::integral_constant<int, 4>());
    else run(kVector, std::integral_constant<int, 32>());
  };
  if (vector) with(std::true_type());
  else with(std::false_type());
}

}  // namespace cambium::gpu
