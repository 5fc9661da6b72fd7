// Matrix products of float32 and bfloat16. Used by core/matmul.cpp; tests reach the parts.
#pragma once

#include <cstdint>
#include <optional>

#include "core/cpu/gemm_kernel.h"
#include "core/kernels/activation.h"
#include "core/view.h"

namespace cambium::cpu {

// c[m,n] = sum_k a[m,k] b[k,n] (+ c[m,n]) (+ bias[n]), float32 or bfloat16, sums in float32. An element's sum runs over
// pieces of k whose lengths depend on K and the kernel only, in an order that depends on the kernel only; so its bits
// depend neither on M and N nor on threads. With an activation, either
//   c = act(sum), the sum itself kept in `sum` where that is given, or, with `gradient`,
//   c = (the sum) * act'(sum[m,n]);
// in bfloat16 the sum is rounded first, as if product and activation were two calls. sum: of the type and stride of c.
struct GemmProblem {
  int64_t M = 0, N = 0, K = 0;
  GemmOperand a, b;
  bool round = false;  // a and b are rounded to bfloat16 first
  const float* bias = nullptr;
  bool accumulate = false;
  void* c = nullptr;
  DType c_type = DType::f32;
  int64_t c_row = 0;
  std::optional<Activation> activation;
  bool gradient = false;
  void* sum = nullptr;
  int64_t sum_row = 0;
};
// With the kernel of the processor's level.
void gemm(Stream&, const GemmProblem&);
void gemm(Stream&, const GemmProblem&, const Microkernel&);

// What follows the sums, for rows [m, m + rows) and columns [n, n + columns) of c, whose sums begin at `sums`.
void finish_block(const GemmProblem&, const float* sums, int64_t sums_row, int64_t m, int64_t rows, int64_t n,
                  int64_t columns);

}  // namespace cambium::cpu
