// Tensor: a cheap handle on numbers. Always contiguous; copies share the data, `clone` does not.
#pragma once

#include <algorithm>
#include <array>
#include <initializer_list>
#include <memory>
#include <ostream>
#include <span>
#include <utility>
#include <vector>

#include "core/memory.h"
#include "core/view.h"

namespace cambium {

// Up to six dimensions; prints as [2,128,768].
class Shape {
 public:
  static constexpr int kMaxRank = 6;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[size_t(i < 0 ? rank_ + i : i)]; }
  int64_t size() const;  // number of elements
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  bool operator==(const Shape& other) const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

std::ostream& operator<<(std::ostream&, const Shape&);

class Tensor {
 public:
  Tensor() = default;  // none: false, size 0

  // Contents undefined.
  static Tensor empty(const Shape&, DType, Device = Device::cpu());
  static Tensor zeros(const Shape&, DType, Device = Device::cpu());
  static Tensor like(const Tensor& other) { return empty(other.shape_, other.dtype_, other.device()); }
  // Memory that `owner` keeps alive, on the CPU.
  static Tensor wrap(const void* data, const Shape&, DType, std::shared_ptr<const void> owner);

  template <class T>
  static Tensor of(std::span<const T> values, const Shape& shape, Device device = Device::cpu()) {
    CHECK(int64_t(values.size()) == shape.size(), "tensor ", shape, " from ", values.size(), " values");
    return from_host(values.data(), shape, dtype_of<T>, device);
  }
  template <class T>
  static Tensor of(const std::vector<T>& values, Device device = Device::cpu()) {
    return of(std::span<const T>(values), {int64_t(values.size())}, device);
  }

  explicit operator bool() const { return buffer_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  Device device() const { return buffer_ ? buffer_->device() : Device::cpu(); }
  Stream& stream() const { return current_stream(device()); }
  int64_t size() const { return buffer_ ? shape_.size() : 0; }
  int64_t bytes() const { return size() * size_of(dtype_); }
  // A matrix [rows, cols]: the last dimension is the columns, all others together the rows.
  int64_t cols() const { return shape_.rank() ? shape_[-1] : 0; }
  int64_t rows() const;

  void* raw() const { return static_cast<char*>(buffer_->data()) + offset_ * size_of(dtype_); }
  template <class T>
  T* data() const {
    CHECK(dtype_of<T> == dtype_, "a tensor of ", name_of(dtype_), " read as ", name_of(dtype_of<T>));
    return buffer_ ? static_cast<T*>(raw()) : nullptr;
  }
  // The elements of a tensor on the CPU.
  template <class T>
  std::span<T> span() const {
    return {data<T>(), size_t(size())};
  }

  // Elements [begin, end) of the first dimension, sharing the data.
  Tensor rows(int64_t begin, int64_t end) const;
  Tensor reshape(const Shape&) const&;
  Tensor reshape(const Shape&) &&;  // keeps `unique`
  Tensor clone() const;
  Tensor to(Device) const;
  Tensor to(DType) const;
  void copy_from(const Tensor&) const;  // same shape and type; either device
  void fill_zero() const;

  // No other handle shares the data: an op may overwrite it.
  bool unique() const { return buffer_.use_count() == 1; }
  const std::shared_ptr<Buffer>& buffer() const { return buffer_; }

  View view() const;
  operator View() const { return view(); }
  operator ConstView() const { return view(); }

 private:
  static Tensor from_host(const void*, const Shape&, DType, Device);

  std::shared_ptr<Buffer> buffer_;
  int64_t offset_ = 0;  // in elements
  Shape shape_;
  DType dtype_ = DType::f32;
};

}  // namespace cambium
