// What follows the sums of a product while they are in cache: bias, activation, rounding.
#include <algorithm>

#include "core/cpu/activations.h"
#include "core/cpu/gemm.h"

namespace cambium::cpu {
namespace {

constexpr int64_t kLine = 64;  // columns at a time, copied: sums may lie where results go

// Calls line(sums, m, n, count) for pieces of rows, their sums with the bias added.
template <class Line>
void for_each_line(const GemmProblem& p, const float* sums, int64_t sums_row, int64_t rows, int64_t n, int64_t columns,
                   const Line& line) {
  for (int64_t m = 0; m < rows; ++m)
    for (int64_t j = 0; j < columns; j += kLine) {
      const int64_t count = std::min(kLine, columns - j);
      float values[kLine] = {};
      std::copy_n(sums + m * sums_row + j, count, values);
      if (p.bias)
        for (int64_t i = 0; i < count; ++i) values[i] += p.bias[n + j + i];
      line(values, m, n + j, count);
    }
}

template <class T>
T* place(void* data, int64_t row, int64_t m, int64_t n) {
  return data ? static_cast<T*>(data) + m * row + n : nullptr;
}

template <class T>
void finish(const GemmProblem& p, const float* sums, int64_t sums_row, int64_t m0, int64_t rows, int64_t n0,
            int64_t columns) {
  const auto lines = [&](const auto& line) { for_each_line(p, sums, sums_row, rows, n0, columns, line); };
  if (!p.activation) {
    return lines([&](const float* x, int64_t m, int64_t n, int64_t count) {
      T* c = place<T>(p.c, p.c_row, m0 + m, n);
      for (int64_t i = 0; i < count; ++i) c[i] = T(x[i]);
    });
  }
  visit_activation(*p.activation, [&](auto act) {
    lines([&](const float* x, int64_t m, int64_t n, int64_t count) {
      T *c = place<T>(p.c, p.c_row, m0 + m, n), *sum = place<T>(p.sum, p.sum_row, m0 + m, n), rounded[kLine], y[kLine];
      for (int64_t i = 0; i < count; ++i) rounded[i] = T(x[i]);
      if (p.gradient) {
        T before[kLine];
        std::copy_n(sum, count, before);
        for (int64_t i = 0; i < count; ++i) y[i] = T(float(rounded[i]) * act.derivative(float(before[i])));
      } else {
        for (int64_t i = 0; i < count; ++i) y[i] = T(act.value(float(rounded[i])));
        if (sum) std::copy_n(rounded, count, sum);
      }
      std::copy_n(y, count, c);
    });
  });
}

}  // namespace

void finish_block(const GemmProblem& p, const float* sums, int64_t sums_row, int64_t m, int64_t rows, int64_t n,
                  int64_t columns) {
  if (p.c_type == DType::bf16) return finish<bfloat16>(p, sums, sums_row, m, rows, n, columns);
  const bool in_place = sums == static_cast<const float*>(p.c) + m * p.c_row + n;
  if (in_place && !p.bias && !p.activation) return;
  finish<float>(p, sums, sums_row, m, rows, n, columns);
}

}  // namespace cambium::cpu
