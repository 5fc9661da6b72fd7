#include "core/svd.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cambium {
namespace {

// Columns one after the other, so that each is contiguous.
struct Columns {
  int64_t rows, count;
  std::vector<double> values;

  Columns(int64_t rows, int64_t count) : rows(rows), count(count), values(size_t(rows * count)) {}
  double* operator[](int64_t c) { return values.data() + c * rows; }
  const double* operator[](int64_t c) const { return values.data() + c * rows; }
};

double dot(const double* x, const double* y, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

Columns columns_of(const Tensor& matrix, bool turned) {
  const Tensor m = matrix.to(Device::cpu()).to(DType::f64);
  const int64_t rows = m.rows(), cols = m.cols();
  Columns c(turned ? cols : rows, turned ? rows : cols);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < cols; ++j) (turned ? c[i][j] : c[j][i]) = m.data<double>()[i * cols + j];
  return c;
}

Tensor tensor_of(const Columns& c) {
  Tensor t = Tensor::empty({c.rows, c.count}, DType::f64);
  for (int64_t i = 0; i < c.rows; ++i)
    for (int64_t j = 0; j < c.count; ++j) t.data<double>()[i * c.count + j] = c[j][i];
  return t;
}

void rotate(double* x, double* y, int64_t n, double c, double s) {
  for (int64_t i = 0; i < n; ++i) {
    const double a = x[i], b = y[i];
    x[i] = c * a - s * b, y[i] = s * a + c * b;
  }
}

// Rotates pairs of columns of w until all are orthogonal; v takes part.
void orthogonalize(Columns& w, Columns& v) {
  constexpr double kSmall = 1e-15;
  for (int sweep = 0; sweep < 60; ++sweep) {
    bool rotated = false;
    for (int64_t p = 0; p + 1 < w.count; ++p)
      for (int64_t q = p + 1; q < w.count; ++q) {
        const double a = dot(w[p], w[p], w.rows), b = dot(w[q], w[q], w.rows), c = dot(w[p], w[q], w.rows);
        if (std::abs(c) <= kSmall * std::sqrt(a * b) || c == 0) continue;
        rotated = true;
        const double zeta = (b - a) / (2 * c);
        const double t = (zeta >= 0 ? 1 : -1) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
        const double cosine = 1 / std::sqrt(1 + t * t);
        rotate(w[p], w[q], w.rows, cosine, cosine * t);
        rotate(v[p], v[q], v.rows, cosine, cosine * t);
      }
    if (!rotated) return;
  }
}

// Q R of a matrix [n, m] by Gram-Schmidt, each column twice: Q [n, k], R [k, m], k = min(n, m). A column that depends on
// those before it adds none to Q.
std::pair<Columns, Columns> qr(const Columns& a) {
  const int64_t k = std::min(a.rows, a.count);
  Columns q(a.rows, k), r(k, a.count);
  int64_t found = 0;
  for (int64_t j = 0; j < a.count; ++j) {
    std::vector<double> x(a[j], a[j] + a.rows);
    const double before = std::sqrt(dot(x.data(), x.data(), a.rows));
    for (int pass = 0; pass < 2; ++pass)
      for (int64_t i = 0; i < found; ++i) {
        const double c = dot(q[i], x.data(), a.rows);
        r[j][i] += c;
        for (int64_t n = 0; n < a.rows; ++n) x[size_t(n)] -= c * q[i][n];
      }
    const double length = std::sqrt(dot(x.data(), x.data(), a.rows));
    if (found == k || length <= 1e-13 * before || length == 0) continue;
    for (int64_t n = 0; n < a.rows; ++n) q[found][n] = x[size_t(n)] / length;
    r[j][found++] = length;
  }
  return {q, r};
}

}  // namespace

Svd svd(const Tensor& matrix) {
  CHECK(matrix.shape().rank() == 2, "svd: ", matrix.shape(), " is no matrix");
  if (matrix.rows() < matrix.cols()) {
    Tensor turned = tensor_of(columns_of(matrix, true));
    Svd other = svd(turned);
    return {other.v, other.s, other.u};
  }
  Columns w = columns_of(matrix, false), v(matrix.cols(), matrix.cols());
  for (int64_t i = 0; i < v.count; ++i) v[i][i] = 1;
  orthogonalize(w, v);
  std::vector<double> lengths;
  for (int64_t j = 0; j < w.count; ++j) lengths.push_back(std::sqrt(dot(w[j], w[j], w.rows)));
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return lengths[size_t(a)] > lengths[size_t(b)]; });
  Columns u(w.rows, w.count), sorted(v.rows, v.count);
  Tensor s = Tensor::zeros({w.count}, DType::f64);
  for (int64_t j = 0; j < w.count; ++j) {
    const int64_t from = order[size_t(j)];
    const double length = lengths[size_t(from)];
    s.data<double>()[j] = length;
    for (int64_t n = 0; n < w.rows && length > 0; ++n) u[j][n] = w[from][n] / length;
    std::copy_n(v[from], v.rows, sorted[j]);
  }
  return {tensor_of(u), s, tensor_of(sorted)};
}

Svd svd_of_product(const Tensor& b, const Tensor& a) {
  CHECK(b.cols() == a.rows(), "svd: ", b.shape(), " times ", a.shape());
  const auto [qb, rb] = qr(columns_of(b, false));  // B = Qb Rb
  const auto [qa, ra] = qr(columns_of(a, true));   // A^T = Qa Ra, so B A = Qb (Rb Ra^T) Qa^T
  Tensor middle = Tensor::zeros({qb.count, qa.count}, DType::f64);
  for (int64_t r = 0; r < b.cols(); ++r)
    for (int64_t i = 0; i < qb.count; ++i)
      for (int64_t j = 0; j < qa.count; ++j) middle.data<double>()[i * qa.count + j] += rb[r][i] * ra[r][j];
  const Svd inner = svd(middle);
  const auto lifted = [](const Columns& q, const Tensor& x) {  // Q x
    Columns y(q.rows, x.cols());
    for (int64_t c = 0; c < y.count; ++c)
      for (int64_t i = 0; i < q.count; ++i)
        for (int64_t n = 0; n < q.rows; ++n) y[c][n] += q[i][n] * x.data<double>()[i * x.cols() + c];
    return tensor_of(y);
  };
  return {lifted(qb, inner.u), inner.s, lifted(qa, inner.v)};
}

}  // namespace cambium
