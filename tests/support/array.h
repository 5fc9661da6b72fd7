// Plain arrays of double: what the definitions in tests compute with.
#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "core/random.h"
#include "core/tensor.h"

namespace cambium::testing {

struct Array {
  Shape shape;
  std::vector<double> values;

  Array() = default;
  explicit Array(const Shape& shape) : shape(shape), values(size_t(shape.size())) {}

  int64_t size() const { return int64_t(values.size()); }
  int64_t cols() const { return shape.rank() ? shape[-1] : 0; }
  int64_t rows() const { return cols() ? size() / cols() : shape.rank() > 1 ? shape[0] : 0; }
  double& operator()(int64_t d) { return values[size_t(d)]; }
  double operator()(int64_t d) const { return values[size_t(d)]; }
  double& operator()(int64_t n, int64_t d) { return values[size_t(n * cols() + d)]; }
  double operator()(int64_t n, int64_t d) const { return values[size_t(n * cols() + d)]; }
  double largest() const {
    double most = 0;
    for (const double v : values) most = std::max(most, std::abs(v));
    return most;
  }
};

// Normally distributed values, the same for the same seed.
inline Array random_array(const Shape& shape, uint64_t seed, double deviation = 1) {
  Array a(shape);
  const RandomKey key = random_key(seed, "random_array");
  for (int64_t i = 0; i < a.size(); ++i) {
    const RandomWords w = philox(key, uint32_t(i), 0, 0, 0);
    const double radius = std::sqrt(-2 * std::log(double(unit_float(w.word[0]))));
    a(i) = deviation * radius * std::cos(6.283185307179586 * double(unit_float(w.word[1])));
  }
  return a;
}

inline Tensor to_tensor(const Array& a, DType dtype, Device device = Device::cpu()) {
  if (a.shape.rank() == 0) return {};
  return Tensor::of(std::span<const double>(a.values), a.shape).to(dtype).to(device);
}

inline Array to_array(const Tensor& t) {
  if (!t) return {};
  Array a(t.shape());
  const Tensor host = t.to(Device::cpu()).to(DType::f64);
  for (int64_t i = 0; i < a.size(); ++i) a(i) = host.data<double>()[i];
  return a;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  if (!a || !b) return !a && !b;
  const Tensor x = a.to(Device::cpu()), y = b.to(Device::cpu());
  return x.shape() == y.shape() && x.dtype() == y.dtype() &&
         (x.bytes() == 0 || std::memcmp(x.raw(), y.raw(), size_t(x.bytes())) == 0);
}

}  // namespace cambium::testing
