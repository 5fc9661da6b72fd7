// Tensor: storage, views and copies between devices and types.
#include "core/tensor.h"

#include <cstring>

#include "core/kernels/elementwise.h"
#include "core/upload.h"

namespace cambium {

Shape::Shape(std::span<const int64_t> dims) : rank_(int(dims.size())) {
  CHECK(rank_ <= kMaxRank, "a tensor of ", rank_, " dimensions; at most ", kMaxRank, " are supported");
  std::copy(dims.begin(), dims.end(), dims_.begin());
  int64_t size = 1;
  for (const int64_t d : dims) {
    CHECK(d >= 0 && !__builtin_mul_overflow(size, std::max<int64_t>(d, 1), &size) && size < (int64_t(1) << 56),
          "a shape of impossible size: ", *this);
  }
}

int64_t Shape::size() const {
  int64_t size = 1;
  for (const int64_t d : *this) size *= d;
  return size;
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
}

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '[';
  for (int i = 0; i < shape.rank(); ++i) out << (i ? "," : "") << shape[i];
  return out << ']';
}

Tensor Tensor::empty(const Shape& shape, DType dtype, Device device) {
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.buffer_ = std::make_shared<Buffer>(device, shape.size() * size_of(dtype));
  return t;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype, Device device) {
  Tensor t = empty(shape, dtype, device);
  t.fill_zero();
  return t;
}

Tensor Tensor::wrap(const void* data, const Shape& shape, DType dtype, std::shared_ptr<const void> owner) {
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.buffer_ = std::make_shared<Buffer>(data, shape.size() * size_of(dtype), std::move(owner));
  return t;
}

Tensor Tensor::from_host(const void* data, const Shape& shape, DType dtype, Device device) {
  Tensor host = empty(shape, dtype);
  if (host.bytes()) std::memcpy(host.raw(), data, size_t(host.bytes()));
  return host.to(device);
}

int64_t Tensor::rows() const {
  int64_t rows = buffer_ ? 1 : 0;
  for (int i = 0; i + 1 < shape_.rank(); ++i) rows *= shape_[i];
  return rows;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  CHECK(shape_.rank() > 0 && 0 <= begin && begin <= end && end <= shape_[0], "rows ", begin, " to ", end, " of ",
        shape_);
  std::array<int64_t, Shape::kMaxRank> dims{};
  std::copy(shape_.begin(), shape_.end(), dims.begin());
  dims[0] = end - begin;
  Tensor t = *this;
  t.shape_ = Shape(std::span(dims.data(), size_t(shape_.rank())));
  t.offset_ += shape_[0] ? begin * (shape_.size() / shape_[0]) : 0;
  return t;
}

Tensor Tensor::reshape(const Shape& shape) const& { return Tensor(*this).reshape(shape); }

Tensor Tensor::reshape(const Shape& shape) && {
  CHECK(shape.size() == shape_.size(), "reshape ", shape_, " to ", shape);
  shape_ = shape;
  return std::move(*this);
}

Tensor Tensor::clone() const {
  if (!buffer_) return {};
  Tensor t = like(*this);
  t.copy_from(*this);
  return t;
}

void Tensor::copy_from(const Tensor& source) const {
  CHECK(shape_ == source.shape_ && dtype_ == source.dtype_, "copy of ", source.shape_, " ", name_of(source.dtype_),
        " into ", shape_, " ", name_of(dtype_));
  if (!bytes()) return;
  if (source.device().is_gpu()) {
    gpu::copy(source.stream(), raw(), source.raw(), size_t(bytes()));
    if (!device().is_gpu()) gpu::synchronize(source.stream());
  } else if (device().is_gpu()) {
    gpu::upload(stream(), raw(), source.raw(), size_t(bytes()));
  } else {
    std::memcpy(raw(), source.raw(), size_t(bytes()));
  }
}

Tensor Tensor::to(Device device) const {
  if (!buffer_ || device == this->device()) return *this;
  Tensor t;
  // Indices are what each step brings along: ids, places, segments.
  if (dtype_ == DType::i32 && !this->device().is_gpu()) t.buffer_ = gpu::upload_beside(device, raw(), size_t(bytes()));
  if (t.buffer_) {
    t.shape_ = shape_, t.dtype_ = dtype_;
    return t;
  }
  t = empty(shape_, dtype_, device);
  t.copy_from(*this);
  return t;
}

Tensor Tensor::to(DType dtype) const {
  if (!buffer_ || dtype == dtype_) return *this;
  Tensor t = empty(shape_, dtype, device());
  DISPATCH(convert, stream())(stream(), *this, t);
  return t;
}

void Tensor::fill_zero() const {
  if (!bytes()) return;
  if (device().is_gpu()) gpu::fill(stream(), raw(), 0, size_t(bytes()));
  else std::memset(raw(), 0, size_t(bytes()));
}

View Tensor::view() const {
  View v;
  if (!buffer_) return v;
  v.pointer = raw();
  v.row_count = rows();
  v.col_count = cols();
  v.stride = cols();
  v.type = dtype_;
  return v;
}

}  // namespace cambium
