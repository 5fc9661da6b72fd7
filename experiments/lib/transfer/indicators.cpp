#include "experiments/lib/transfer/indicators.h"

#include <cmath>
#include <vector>

namespace cambium {
namespace {

// In four sums, added in one order: a single one waits for itself.
template <class F>
double summed(int64_t count, const F& term) {
  double sum[4] = {};
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (int k = 0; k < 4; ++k) sum[k] += term(i + k);
  for (; i < count; ++i) sum[0] += term(i);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

double squared_distance(const double* a, const double* b, int64_t count) {
  return summed(count, [&](int64_t i) { return (a[i] - b[i]) * (a[i] - b[i]); });
}
double dot(const double* a, const double* b, int64_t count) {
  return summed(count, [&](int64_t i) { return a[i] * b[i]; });
}
double over(double x, double length) { return length > 0 ? x / length : 0; }

std::vector<double> doubles(const Tensor& t) {
  const std::span<const float> values = t.span<float>();
  for (const float v : values)
    check_input(std::isfinite(v), "a prompt ", t.shape(), " has a number that is not finite");
  return {values.begin(), values.end()};
}

// The mean of the rows, each divided by its length: [d].
std::vector<double> mean_direction(const std::vector<double>& p, int64_t rows, int64_t cols) {
  std::vector<double> mean(size_t(cols), 0.0);
  for (int64_t r = 0; r < rows; ++r) {
    const double* row = p.data() + r * cols;
    const double length = std::sqrt(dot(row, row, cols));
    for (int64_t c = 0; c < cols; ++c) mean[size_t(c)] += over(row[c], length) / double(rows);
  }
  return mean;
}

}  // namespace

std::array<double, 4> indicators(const Tensor& p, const Tensor& q) {
  check_input(p.shape() == q.shape() && p.shape().rank() == 2 && p.size() > 0, "prompts of the shapes ", p.shape(),
              " and ", q.shape(), ": indicators compare prompts of one shape, [length, width]");
  const int64_t rows = p.rows(), cols = p.cols(), all = rows * cols;
  const std::vector<double> a = doubles(p), b = doubles(q);
  double apart = 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < rows; ++j)
      apart += std::sqrt(squared_distance(a.data() + i * cols, b.data() + j * cols, cols));
  const std::vector<double> u = mean_direction(a, rows, cols), v = mean_direction(b, rows, cols);
  const double lengths =
      std::sqrt(dot(a.data(), a.data(), all) * dot(b.data(), b.data(), all));  // of one prompt: exact
  return {1 / (1 + std::sqrt(squared_distance(a.data(), b.data(), all))), 1 / (1 + apart / double(rows * rows)),
          over(dot(a.data(), b.data(), all), lengths), dot(u.data(), v.data(), cols)};
}

}  // namespace cambium
