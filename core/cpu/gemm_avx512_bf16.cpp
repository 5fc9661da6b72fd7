// Tiles of vdpbf16ps: 12 rows times 32 columns.
#include "core/cpu/gemm_native.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512_BF16 [[gnu::target("avx512f,avx512bw,avx512vl,avx512bf16")]]

namespace cambium::cpu::native {
namespace {

// R rows of a as [k / 2][R][2], a panel of b as [k / 2][32][2].
template <int R>
AVX512_BF16 void tile(int64_t pairs, const int32_t* a, const char* b, float* c, int64_t c_row, bool add) {
  __m512 sum[R][2];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
    sum[r][0] = add ? _mm512_loadu_ps(c + r * c_row) : _mm512_setzero_ps();
    sum[r][1] = add ? _mm512_loadu_ps(c + r * c_row + 16) : _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < pairs; ++k) {
    const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b + k * 128);
    const __m512bh b1 = (__m512bh)_mm512_loadu_si512(b + k * 128 + 64);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const __m512bh factor = (__m512bh)_mm512_set1_epi32(a[k * R + r]);
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], factor, b0);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], factor, b1);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) {
    _mm512_storeu_ps(c + r * c_row, sum[r][0]);
    _mm512_storeu_ps(c + r * c_row + 16, sum[r][1]);
  }
}

template <int R>
AVX512_BF16 void tile_of(int64_t rows, int64_t pairs, const int32_t* a, const char* b, float* c, int64_t c_row,
                         bool add) {
  if constexpr (R > 1)
    if (rows < R) return tile_of<R - 1>(rows, pairs, a, b, c, c_row, add);
  tile<R>(pairs, a, b, c, c_row, add);
}

}  // namespace

AVX512_BF16 void multiply_vectors(int64_t rows, int64_t length, const void* a, const void* b, float* c, int64_t c_row,
                                  bool add) {
  tile_of<12>(rows, length / 2, static_cast<const int32_t*>(a), static_cast<const char*>(b), c, c_row, add);
}

}  // namespace cambium::cpu::native
#else
namespace cambium::cpu::native {
void multiply_vectors(int64_t, int64_t, const void*, const void*, float*, int64_t, bool) { __builtin_trap(); }
}  // namespace cambium::cpu::native
#endif
