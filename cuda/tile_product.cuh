// Products of small tiles by one warp, in two variants of one meaning. Tiles of bfloat16 are
// multiplied by tensor cores (mma.sync m16n8k16), tiles of float by ordinary arithmetic.
//
// Tiles lie in shared memory, rows padded by 16 bytes so that neighbouring rows start in other
// banks. Products stay in registers, in the tensor cores' order for both variants: of each 8
// columns a thread holds columns 2 (lane % 4) + {0, 1} of rows lane / 4 and lane / 4 + 8 of the
// warp's 16.
#pragma once

#include "cuda/device.cuh"

namespace cambium::gpu {

// Elements from one row of a tile to the next.
template <class E, int kDepth>
inline constexpr int kTileStride = kDepth + 16 / int(sizeof(E));

inline __device__ int lane_of() { return int(threadIdx.x) % 32; }

// Calls body(half, column, value) for the thread's elements of c [16, 8 kN]. half: 0 for row lane /
// 4, 1 for the row 8 below.
template <int kN, class Body>
__device__ void for_each(float (&c)[kN][4], const Body& body) {
  const int first = lane_of() % 4 * 2;
#pragma unroll
  for (int n = 0; n < kN; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) body(e / 2, n * 8 + first + e % 2, c[n][e]);
}

// The same for two products: body(half, column, value of c, value of d).
template <int kN, class Body>
__device__ void for_each(float (&c)[kN][4], float (&d)[kN][4], const Body& body) {
  const int first = lane_of() % 4 * 2;
#pragma unroll
  for (int n = 0; n < kN; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) body(e / 2, n * 8 + first + e % 2, c[n][e], d[n][e]);
}

// Over the four threads that hold a row.
inline __device__ float row_sum(float v) {
  v += __shfl_xor_sync(~0u, v, 1);
  return v + __shfl_xor_sync(~0u, v, 2);
}
inline __device__ float row_max(float v) {
  v = fmaxf(v, __shfl_xor_sync(~0u, v, 1));
  return fmaxf(v, __shfl_xor_sync(~0u, v, 2));
}

// ---- ordinary arithmetic ----

// c += a b^T for rows a [16, kDepth] and b [8 kN, kDepth].
template <int kDepth, int kN>
__device__ void multiply_rows(const float* a, const float* b, float (&c)[kN][4]) {
  constexpr int kStride = kTileStride<float, kDepth>;
  a += lane_of() / 4 * kStride;
  b += lane_of() % 4 * 2 * kStride;
#pragma unroll 2
  for (int k = 0; k < kDepth; k += 4) {
    float upper[4], lower[4];
    load(a + k, upper);
    load(a + 8 * kStride + k, lower);
#pragma unroll
    for (int n = 0; n < kN; ++n) {
      float left[4], right[4];
      load(b + n * 8 * kStride + k, left);
      load(b + (n * 8 + 1) * kStride + k, right);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        c[n][0] += upper[i] * left[i];
        c[n][1] += upper[i] * right[i];
        c[n][2] += lower[i] * left[i];
        c[n][3] += lower[i] * right[i];
      }
    }
  }
}

// c += p b for a product p [16, 8 kP] and kP * 8 rows of b, of which 8 kN columns.
template <int kStride, int kP, int kN>
__device__ void multiply_columns(const float (&p)[kP][4], const float* b, float (&c)[kN][4]) {
  b += lane_of() % 4 * 2;
#pragma unroll
  for (int k = 0; k < kP; ++k)
#pragma unroll 1
    for (int source = 0; source < 4; ++source) {  // the thread that holds columns 2 source + {0, 1}
      float from[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) from[e] = __shfl_sync(~0u, p[k][e], lane_of() / 4 * 4 + source);
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float* row = b + (k * 8 + source * 2 + e) * kStride;
#pragma unroll
        for (int n = 0; n < kN; ++n) {
          float v[2];
          load(row + n * 8, v);
          c[n][0] += from[e] * v[0];
          c[n][1] += from[e] * v[1];
          c[n][2] += from[2 + e] * v[0];
          c[n][3] += from[2 + e] * v[1];
        }
      }
    }
}

// ---- tensor cores ----
// Templates to the last: a build that has no tensor cores never instantiates them.

// Four 8x8 matrices of bfloat16; lane l names row l % 8 of matrix l / 8. The thread gets elements
// 2 (lane % 4) + {0, 1} of row lane / 4 of each, or of each transposed.
template <bool kTransposed, class E>
__device__ void load_matrices(const E* row, unsigned (&m)[4]) {
  const unsigned address = unsigned(__cvta_generic_to_shared(row));
  if constexpr (kTransposed)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"(address)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(m[0]), "=r"(m[1]), "=r"(m[2]), "=r"(m[3])
                 : "r"(address)
                 : "memory");
}

// c += a b for a [16, 16] and b [16, 8].
template <class F>
__device__ void multiply_accumulate(const unsigned (&a)[4], unsigned b0, unsigned b1, F (&c)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <int kDepth, int kN>
__device__ void multiply_rows(const bfloat16* a, const bfloat16* b, float (&c)[kN][4]) {
  constexpr int kStride = kTileStride<bfloat16, kDepth>;
  const int lane = lane_of();
  a += lane % 16 * kStride + lane / 16 * 8;
  b += (lane % 8 + lane / 16 * 8) * kStride + lane / 8 % 2 * 8;
#pragma unroll
  for (int k = 0; k < kDepth; k += 16) {
    unsigned left[4];
    load_matrices<false>(a + k, left);
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      unsigned right[4];
      load_matrices<false>(b + n * 8 * kStride + k, right);
      multiply_accumulate(left, right[0], right[1], c[n]);
      multiply_accumulate(left, right[2], right[3], c[n + 1]);
    }
  }
}

// p is rounded to bfloat16: a product's order is that of a left operand, two numbers a register.
template <int kStride, int kP, int kN>
__device__ void multiply_columns(const float (&p)[kP][4], const bfloat16* b, float (&c)[kN][4]) {
  b += lane_of() % 16 * kStride + lane_of() / 16 * 8;
#pragma unroll
  for (int k = 0; k < kP; k += 2) {
    const unsigned left[4] = {pack_bfloat16(p[k][0], p[k][1]), pack_bfloat16(p[k][2], p[k][3]),
                              pack_bfloat16(p[k + 1][0], p[k + 1][1]), pack_bfloat16(p[k + 1][2], p[k + 1][3])};
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      unsigned right[4];
      load_matrices<true>(b + k * 8 * kStride + n * 8, right);
      multiply_accumulate(left, right[0], right[1], c[n]);
      multiply_accumulate(left, right[2], right[3], c[n + 1]);
    }
  }
}

}  // namespace cambium::gpu
