// Float32 tiles of Arm's fmla: 12 rows times 8 columns.
#include "core/cpu/gemm_native.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace cambium::cpu::native {
namespace {

// Four rows of the tile: sum[r] += a[r] b, factors taken from one register.
inline void add_rows(float32x4_t a, float32x4_t b0, float32x4_t b1, float32x4_t (*sum)[2]) {
  sum[0][0] = vfmaq_laneq_f32(sum[0][0], b0, a, 0), sum[0][1] = vfmaq_laneq_f32(sum[0][1], b1, a, 0);
  sum[1][0] = vfmaq_laneq_f32(sum[1][0], b0, a, 1), sum[1][1] = vfmaq_laneq_f32(sum[1][1], b1, a, 1);
  sum[2][0] = vfmaq_laneq_f32(sum[2][0], b0, a, 2), sum[2][1] = vfmaq_laneq_f32(sum[2][1], b1, a, 2);
  sum[3][0] = vfmaq_laneq_f32(sum[3][0], b0, a, 3), sum[3][1] = vfmaq_laneq_f32(sum[3][1], b1, a, 3);
}

// R rows of a as [k][R], a panel of b as [k][8]. Of 32 registers the sums of 12 rows take 24, a 3 and b 2.
template <int R>
void tile(int64_t K, const float* a, const float* b, float* c, int64_t c_row, bool add) {
  float32x4_t sum[R][2];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = vdupq_n_f32(0);
  for (int64_t k = 0; k < K; ++k, a += R, b += 8) {
    const float32x4_t b0 = vld1q_f32(b), b1 = vld1q_f32(b + 4);
#pragma GCC unroll 3
    for (int r = 0; r + 4 <= R; r += 4) add_rows(vld1q_f32(a + r), b0, b1, sum + r);
#pragma GCC unroll 3
    for (int r = R / 4 * 4; r < R; ++r) {
      sum[r][0] = vfmaq_n_f32(sum[r][0], b0, a[r]);
      sum[r][1] = vfmaq_n_f32(sum[r][1], b1, a[r]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      float* place = c + r * c_row + 4 * half;
      vst1q_f32(place, add ? vaddq_f32(vld1q_f32(place), sum[r][half]) : sum[r][half]);
    }
}

template <int R>
void tile_of(int64_t rows, int64_t K, const float* a, const float* b, float* c, int64_t c_row, bool add) {
  if constexpr (R > 1)
    if (rows < R) return tile_of<R - 1>(rows, K, a, b, c, c_row, add);
  tile<R>(K, a, b, c, c_row, add);
}

}  // namespace

void multiply_neon(int64_t rows, int64_t length, const void* a, const void* b, float* c, int64_t c_row, bool add) {
  tile_of<12>(rows, length, static_cast<const float*>(a), static_cast<const float*>(b), c, c_row, add);
}

}  // namespace cambium::cpu::native
#else
namespace cambium::cpu::native {
void multiply_neon(int64_t, int64_t, const void*, const void*, float*, int64_t, bool) { __builtin_trap(); }
}  // namespace cambium::cpu::native
#endif
