// Register-blocked products. This file alone is compiled with -ffp-contract=fast: every multiply-add below
// becomes one instruction on machines that have it, in full tiles and in remainders alike.
#include "core/cpu/small_matmul.h"

#include <cstring>

namespace cambium::cpu {
namespace {

template <class F> using Lanes [[gnu::vector_size(kLanes * sizeof(F))]] = F;

#ifdef __AVX512F__
constexpr int kTileVectors = 2;  // 6 x 2 sums in 32 registers
#else
constexpr int kTileVectors = 1;
#endif
constexpr int kTileRows = 6;

template <int R, int Vectors, class F>
void tile(int64_t K, const F* a, int64_t a_row, int64_t a_col, const F* b, int64_t b_row, F* c, int64_t c_row,
          bool accumulate) {
  Lanes<F> sum[R][Vectors] = {};
  if (accumulate)
    for (int r = 0; r < R; ++r) std::memcpy(sum[r], c + r * c_row, sizeof(sum[r]));
  for (int64_t k = 0; k < K; ++k) {
    Lanes<F> bk[Vectors];
    std::memcpy(bk, b + k * b_row, sizeof(bk));
#pragma GCC unroll 6
    for (int r = 0; r < R; ++r) {
      const F factor = a[r * a_row + k * a_col];
#pragma GCC unroll 2
      for (int v = 0; v < Vectors; ++v) sum[r][v] += bk[v] * factor;
    }
  }
  for (int r = 0; r < R; ++r) std::memcpy(c + r * c_row, sum[r], sizeof(sum[r]));
}

template <int Vectors, class F>
void strip(int64_t M, int64_t K, const F* a, int64_t a_row, int64_t a_col, const F* b, int64_t b_row, F* c,
           int64_t c_row, bool accumulate) {
  int64_t m = 0;
  const auto step = [&]<int R>() {
    for (; m + R <= M; m += R)
      tile<R, Vectors>(K, a + m * a_row, a_row, a_col, b, b_row, c + m * c_row, c_row, accumulate);
  };
  step.template operator()<kTileRows>();
  step.template operator()<3>();
  step.template operator()<1>();
}

template <class F>
void blocked(int64_t M, int64_t N, int64_t K, const F* a, int64_t a_row, int64_t a_col, const F* b, int64_t b_row,
             F* c, int64_t c_row, bool accumulate) {
  int64_t n = 0;
  for (; n + kTileVectors * kLanes <= N; n += kTileVectors * kLanes)
    strip<kTileVectors>(M, K, a, a_row, a_col, b + n, b_row, c + n, c_row, accumulate);
  for (; n < N; n += kLanes) strip<1>(M, K, a, a_row, a_col, b + n, b_row, c + n, c_row, accumulate);
}

}  // namespace

void small_matmul(int64_t M, int64_t N, int64_t K, const float* a, int64_t a_row, int64_t a_col, const float* b,
                  int64_t b_row, float* c, int64_t c_row, bool accumulate) {
  blocked(M, N, K, a, a_row, a_col, b, b_row, c, c_row, accumulate);
}

void small_matmul(int64_t M, int64_t N, int64_t K, const double* a, int64_t a_row, int64_t a_col, const double* b,
                  int64_t b_row, double* c, int64_t c_row, bool accumulate) {
  blocked(M, N, K, a, a_row, a_col, b, b_row, c, c_row, accumulate);
}

}  // namespace cambium::cpu
