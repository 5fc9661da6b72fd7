// The CPU side of matmul: float32 and bfloat16 by core/cpu/gemm.cpp, float64 in loops.
#include "core/kernels/matmul.h"

#include "core/cpu/gemm.h"
#include "core/kernels/elementwise.h"
#include "core/machine.h"
#include "core/tensor.h"

namespace cambium {

namespace {

// c = op(a) op(b) + bias in float64, k ascending.
void multiply_doubles(ConstView a, ConstView b, ConstView bias, const MatmulOptions& options, View c) {
  const int64_t M = c.rows(), N = c.cols(), K = options.transpose_a ? a.rows() : a.cols();
  for (int64_t m = 0; m < M; ++m) {
    double* row = c.row<double>(m);
    if (!options.accumulate) std::fill_n(row, N, 0.0);
    if (bias)
      for (int64_t n = 0; n < N; ++n) row[n] += bias.data<double>()[n];
    for (int64_t k = 0; k < K; ++k) {
      const double factor = options.transpose_a ? a.row<double>(k)[m] : a.row<double>(m)[k];
      if (options.transpose_b)
        for (int64_t n = 0; n < N; ++n) row[n] += factor * b.row<double>(n)[k];
      else
        for (int64_t n = 0; n < N; ++n) row[n] += factor * b.row<double>(k)[n];
    }
  }
}

// What gemm.h computes, but for what follows the sums.
cpu::GemmProblem problem_of(ConstView a, ConstView b, ConstView bias, const MatmulOptions& options, View c) {
  return {.M = c.rows(),
          .N = c.cols(),
          .K = options.transpose_a ? a.rows() : a.cols(),
          .a = {a.pointer, a.dtype(), options.transpose_a ? 1 : a.stride, options.transpose_a ? a.stride : 1},
          .b = {b.pointer, b.dtype(), options.transpose_b ? 1 : b.stride, options.transpose_b ? b.stride : 1},
          .round = a.dtype() == DType::bf16 || b.dtype() == DType::bf16 || options.round_to_bf16,
          .bias = bias.data<float>(),
          .accumulate = options.accumulate,
          .c = const_cast<void*>(c.pointer),
          .c_type = c.dtype(),
          .c_row = c.stride};
}

void check_shapes(ConstView a, ConstView b, const MatmulOptions& options, ConstView c) {
  const int64_t M = c.rows(), N = c.cols(), K = options.transpose_a ? a.rows() : a.cols();
  const int64_t a_rows = options.transpose_a ? a.cols() : a.rows(), b_cols = options.transpose_b ? b.rows() : b.cols();
  CHECK(a_rows == M && b_cols == N && (options.transpose_b ? b.cols() : b.rows()) == K, "matmul: a [", a.rows(), ",",
        a.cols(), "]", options.transpose_a ? "^T" : "", ", b [", b.rows(), ",", b.cols(), "]",
        options.transpose_b ? "^T" : "", ", c [", M, ",", N, "]");
}

}  // namespace

std::string software_version() { return "cambium " CAMBIUM_VERSION; }

std::string instruction_set() { return std::string(name_of(cpu::level())); }

namespace cpu {

void matmul(Stream& stream, ConstView a, ConstView b, ConstView bias, const MatmulOptions& options, View c) {
  check_shapes(a, b, options, c);
  if (c.rows() == 0 || c.cols() == 0) return;
  if (c.dtype() == DType::f64) return multiply_doubles(a, b, bias, options, c);
  gemm(stream, problem_of(a, b, bias, options, c));
}

void weight_and_bias_gradient(Stream& stream, ConstView dy, ConstView x, bool round_to_bf16, View dweight, View dbias) {
  column_sum(stream, dy, false, dbias);
  matmul(stream, dy, x, {}, {.transpose_a = true, .round_to_bf16 = round_to_bf16}, dweight);
}

bool multiplies_bf16() { return level() >= Level::avx512_bf16; }

}  // namespace cpu

void matmul_activation(Stream& stream, ConstView a, ConstView b, ConstView bias, const MatmulOptions& options,
                       Activation kind, View sum, View y) {
  if (stream.device.is_gpu() && gpu::library_matmul_activation(stream, a, b, bias, options, kind, sum, y)) return;
  if (!stream.device.is_gpu() && y.dtype() != DType::f64) {
    check_shapes(a, b, options, y);
    cpu::GemmProblem p = problem_of(a, b, bias, options, y);
    p.activation = kind, p.sum = const_cast<void*>(sum.pointer), p.sum_row = sum.stride;
    if (y.rows() > 0 && y.cols() > 0) cpu::gemm(stream, p);
    return;
  }
  if (!sum) sum = y;
  DISPATCH(matmul, stream)(stream, a, b, bias, options, sum);
  DISPATCH(activation_forward, stream)(stream, kind, sum, {}, y);
}

void matmul_activation_gradient(Stream& stream, ConstView a, ConstView b, const MatmulOptions& options, Activation kind,
                                ConstView sum, View c) {
  if (stream.device.is_gpu() && gpu::library_matmul_activation_gradient(stream, a, b, options, kind, sum, c)) return;
  if (!stream.device.is_gpu() && c.dtype() != DType::f64) {
    check_shapes(a, b, options, c);
    cpu::GemmProblem p = problem_of(a, b, {}, options, c);
    p.activation = kind, p.gradient = true, p.sum = const_cast<void*>(sum.pointer), p.sum_row = sum.stride;
    if (c.rows() > 0 && c.cols() > 0) cpu::gemm(stream, p);
    return;
  }
  DISPATCH(matmul, stream)(stream, a, b, {}, options, c);
  DISPATCH(activation_backward, stream)(stream, kind, c, sum, {}, c);
}

}  // namespace cambium
