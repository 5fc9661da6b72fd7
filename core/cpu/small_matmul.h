// Products of matrices that fit in cache, one thread: the inside of attention.
#pragma once

#include <cstdint>

namespace cambium::cpu {

// c[m,n] (+)= sum_k a[m * a_row + k * a_col] * b[k * b_row + n], k ascending, each product and sum rounded once
// where the instruction set has fused multiply-add. N is a multiple of kLanes. An element's bits do not
// depend on M and N.
inline constexpr int64_t kLanes = 16;
constexpr int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

void small_matmul(int64_t M, int64_t N, int64_t K, const float* a, int64_t a_row, int64_t a_col, const float* b,
                  int64_t b_row, float* c, int64_t c_row, bool accumulate);
void small_matmul(int64_t M, int64_t N, int64_t K, const double* a, int64_t a_row, int64_t a_col, const double* b,
                  int64_t b_row, double* c, int64_t c_row, bool accumulate);

}  // namespace cambium::cpu
