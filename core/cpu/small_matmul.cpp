// Register-blocked products. This file and gemm_float.cpp are compiled with -ffp-contract=fast: every multiply-add
// below becomes one instruction on machines that have it, in full tiles and in remainders alike.
#include "core/cpu/small_matmul.h"

#include <cstring>

#include "core/cpu/peak.h"
#include "core/cpu/tiles.h"

namespace cambium::cpu {
namespace {

// R rows of c times `Vectors` vectors of its columns.
template <int R, int Vectors, class F>
void tile(int64_t K, const F* a, int64_t a_row, int64_t a_col, const F* b, int64_t b_row, F* c, int64_t c_row,
          bool accumulate) {
  Vector<F> sum[R][Vectors];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) {
      if (accumulate) std::memcpy(&sum[r][v], c + r * c_row + v * kVector<F>, kVectorBytes);
      else sum[r][v] = Vector<F>{};
    }
  for (int64_t k = 0; k < K; ++k) {
    Vector<F> bk[Vectors];
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) std::memcpy(&bk[v], b + k * b_row + v * kVector<F>, kVectorBytes);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const F factor = a[r * a_row + k * a_col];
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] += bk[v] * factor;
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < Vectors; ++v) std::memcpy(c + r * c_row + v * kVector<F>, &sum[r][v], kVectorBytes);
}

template <int Vectors, int R = kTileRows, class F>
void tile_of(int64_t rows, int64_t K, const F* a, int64_t a_row, int64_t a_col, const F* b, int64_t b_row, F* c,
             int64_t c_row, bool accumulate) {
  if constexpr (R > 1)
    if (rows < R) return tile_of<Vectors, R - 1>(rows, K, a, a_row, a_col, b, b_row, c, c_row, accumulate);
  tile<R, Vectors>(K, a, a_row, a_col, b, b_row, c, c_row, accumulate);
}

template <class F>
void blocked(int64_t M, int64_t N, int64_t K, const F* a, int64_t a_row, int64_t a_col, const F* b, int64_t b_row, F* c,
             int64_t c_row, bool accumulate) {
  const Parts rows = tile_rows(M);
  const auto strip = [&]<int Vectors>(int64_t n) {
    for (int64_t i = 0; i < rows.parts; ++i) {
      const int64_t m = rows.begin(i);
      tile_of<Vectors>(rows.size(i), K, a + m * a_row, a_row, a_col, b + n, b_row, c + m * c_row + n, c_row,
                       accumulate);
    }
  };
  int64_t n = 0;
  for (; n + 2 * kVector<F> <= N; n += 2 * kVector<F>) strip.template operator()<2>(n);
  for (; n < N; n += kVector<F>) strip.template operator()<1>(n);
}

}  // namespace

void small_matmul(int64_t M, int64_t N, int64_t K, const float* a, int64_t a_row, int64_t a_col, const float* b,
                  int64_t b_row, float* c, int64_t c_row, bool accumulate) {
  count_flops(2 * double(M) * double(N) * double(K));
  blocked(M, N, K, a, a_row, a_col, b, b_row, c, c_row, accumulate);
}

void small_matmul(int64_t M, int64_t N, int64_t K, const double* a, int64_t a_row, int64_t a_col, const double* b,
                  int64_t b_row, double* c, int64_t c_row, bool accumulate) {
  blocked(M, N, K, a, a_row, a_col, b, b_row, c, c_row, accumulate);
}

}  // namespace cambium::cpu
