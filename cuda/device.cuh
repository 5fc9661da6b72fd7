// What kernels share: rows of a matrix, values moved sixteen bytes at a time, sums over warps and
// blocks.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstring>

#include "cuda/launch.h"

namespace cambium::gpu {

// Calls f(Type<T>{}) with the element type T that t names. The GPU has no float64.
template <class F>
decltype(auto) visit_gpu(DType t, F&& f) {
  if (t == DType::bf16) return f(Type<bfloat16>{});
  CHECK(t == DType::f32, "a ", name_of(t), " tensor on the GPU, where float32 or bfloat16 is needed");
  return f(Type<float>{});
}

// ---- rows ----

// A view as kernels take it.
template <class T>
struct Rows {
  T* data;
  int64_t stride;
  __device__ T* operator[](int64_t n) const { return data + n * stride; }
};
template <class T>
Rows<const T> rows_of(const ConstView& v) {
  return {v.data<T>(), v.stride};
}
template <class T>
Rows<T> rows_of(const View& v) {
  return {v.data<T>(), v.stride};
}

// Whether rows can be moved `width` elements at a time, from any multiple of it. Absent views can.
inline bool vector_ready(int width, const ConstView& v) {
  const int64_t bytes = std::min<int64_t>(width * size_of(v.dtype()), 16);
  return v.cols() % width == 0 && reinterpret_cast<uintptr_t>(v.pointer) % uintptr_t(bytes) == 0 &&
         (v.rows() <= 1 || v.stride * size_of(v.dtype()) % bytes == 0);
}
template <class... Views>
bool vector_ready(int width, const ConstView& v, const Views&... more) {
  return vector_ready(width, v) && vector_ready(width, more...);
}

// Elements that fill sixteen bytes.
template <class T>
inline constexpr int kPack = 16 / int(sizeof(T));

// ---- values ----

template <int kBytes>
struct WordOf {
  using type = uint4;
};
template <>
struct WordOf<8> {
  using type = uint2;
};
template <>
struct WordOf<4> {
  using type = unsigned;
};
template <>
struct WordOf<2> {
  using type = unsigned short;
};

// Two floats as bfloat16, to nearest, ties to even; the first in the lower half.
inline __device__ unsigned pack_bfloat16(float first, float second) {
#ifdef __CUDA_ARCH__
  unsigned both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  return both;
#else
  return bfloat16(first).bits | unsigned(bfloat16(second).bits) << 16;
#endif
}

inline __device__ void store_one(float* p, float v) { *p = v; }
inline __device__ void store_one(bfloat16* p, float v) { p->bits = uint16_t(pack_bfloat16(v, 0)); }

// v = p[0 ... W); p aligned to W elements or sixteen bytes.
template <int W, class T>
__device__ void load(const T* p, float (&v)[W]) {
  using Word = typename WordOf<W* int(sizeof(T))>::type;
  T value[W];
#pragma unroll
  for (int i = 0; i < int(W * sizeof(T) / sizeof(Word)); ++i) {
    const Word word = reinterpret_cast<const Word*>(p)[i];
    memcpy(reinterpret_cast<char*>(value) + i * sizeof(Word), &word, sizeof(Word));
  }
#pragma unroll
  for (int i = 0; i < W; ++i) v[i] = float(value[i]);
}

template <int W>
__device__ void store(float* p, const float (&v)[W]) {
  if constexpr (W % 4 == 0) {
#pragma unroll
    for (int i = 0; i < W / 4; ++i)
      reinterpret_cast<float4*>(p)[i] = float4{v[4 * i], v[4 * i + 1], v[4 * i + 2], v[4 * i + 3]};
  } else {
#pragma unroll
    for (int i = 0; i < W; ++i) p[i] = v[i];
  }
}

template <int W>
__device__ void store(bfloat16* p, const float (&v)[W]) {
  if constexpr (W == 1) {
    store_one(p, v[0]);
  } else {
    using Word = typename WordOf<2 * W>::type;
    unsigned both[W / 2];
#pragma unroll
    for (int i = 0; i < W / 2; ++i) both[i] = pack_bfloat16(v[2 * i], v[2 * i + 1]);
#pragma unroll
    for (int i = 0; i < int(2 * W / sizeof(Word)); ++i) {
      Word word;
      memcpy(&word, reinterpret_cast<const char*>(both) + i * sizeof(Word), sizeof(Word));
      reinterpret_cast<Word*>(p)[i] = word;
    }
  }
}

// The same one element at a time, for any alignment: of W only the first `count`, zeros after them.
template <int W, class T>
__device__ void load_some(const T* p, int64_t count, float (&v)[W]) {
#pragma unroll
  for (int i = 0; i < W; ++i) v[i] = i < count ? float(p[i]) : 0.f;
}
template <int W, class T>
__device__ void store_some(T* p, int64_t count, const float (&v)[W]) {
#pragma unroll
  for (int i = 0; i < W; ++i)
    if (i < count) store_one(p + i, v[i]);
}

// Either way, by a template argument: equal values, so equal bits after equal arithmetic.
template <bool kVector, int W, class T>
__device__ void load(const T* p, int64_t count, float (&v)[W]) {
  if constexpr (kVector) load(p, v);
  else load_some(p, count, v);
}
template <bool kVector, int W, class T>
__device__ void store(T* p, int64_t count, const float (&v)[W]) {
  if constexpr (kVector) store(p, v);
  else store_some(p, count, v);
}

// ---- sums ----

template <std::floating_point T>
__device__ T warp_sum(T v) {
#pragma unroll
  for (int distance = 16; distance; distance /= 2) v += __shfl_xor_sync(~0u, v, distance);
  return v;
}
inline __device__ float warp_max(float v) {
#pragma unroll
  for (int distance = 16; distance; distance /= 2) v = fmaxf(v, __shfl_xor_sync(~0u, v, distance));
  return v;
}

// v[i] = the sum of v[i] over the kWarps warps of the block, threads first, then warps, in every
// thread. With one warp no other warp takes part.
template <int kWarps, std::floating_point T, int kCount>
__device__ void block_sum(T (&v)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) v[i] = warp_sum(v[i]);
  if constexpr (kWarps > 1) {
    __shared__ T of_warp[kCount][kWarps];
    __syncthreads();  // the last call's values have been read
    if (threadIdx.x % 32 == 0)
#pragma unroll
      for (int i = 0; i < kCount; ++i) of_warp[i][threadIdx.x / 32] = v[i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      v[i] = of_warp[i][0];
#pragma unroll
      for (int w = 1; w < kWarps; ++w) v[i] += of_warp[i][w];
    }
  }
}
template <int kWarps, std::floating_point T>
__device__ T block_sum(T v) {
  T sum[1] = {v};
  block_sum<kWarps>(sum);
  return sum[0];
}

// ---- launches ----

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks of 256 threads over [rows, units]: x along a row, as many rows at a time as then fit.
// Kernels take rows blockIdx.y * blockDim.y + threadIdx.y and on by gridDim.y * blockDim.y.
struct Plane {
  dim3 grid, block;

  Plane(int64_t rows, int64_t units) {
    while (block.x < 256 && block.x < units) block.x *= 2;
    block.y = 256 / block.x;
    grid = dim3(unsigned(ceil_div(units, block.x)), unsigned(std::min<int64_t>(ceil_div(rows, block.y), 65535)));
  }
};

}  // namespace cambium::gpu
