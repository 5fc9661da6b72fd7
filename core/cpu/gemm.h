// Matrix products of float32 and bfloat16. Used by core/matmul.cpp alone.
#pragma once

#include <cstdint>

#include "core/view.h"

namespace cambium::cpu {

// Element (i, j) is at data[i * row + j * col]; float32 or bfloat16. One of the strides is 1.
struct GemmOperand {
  const void* data = nullptr;
  DType type = DType::f32;
  int64_t row = 0, col = 0;
};

// c[m,n] = sum_k a[m,k] b[k,n] (+ bias[n]) (+ c[m,n]) in float32. An element's sum runs over pieces of k whose
// length depends on K only, k ascending within a piece and pieces added in order; so its bits depend neither
// on M and N nor on threads.
struct GemmProblem {
  int64_t M = 0, N = 0, K = 0;
  GemmOperand a, b;
  bool round = false;  // a and b are rounded to bfloat16 first
  const float* bias = nullptr;
  bool accumulate = false;
  float* c = nullptr;
  int64_t c_row = 0;
};
void gemm(Stream&, const GemmProblem&);

}  // namespace cambium::cpu
