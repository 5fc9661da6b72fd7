// What kernels see: where data lies, without owning it. A view is a matrix [rows, cols] whose rows are
// `stride` elements apart, so that query, key and value can be column ranges of one product.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace cambium {

struct Device {
  enum class Kind : uint8_t { cpu, gpu };
  Kind kind = Kind::cpu;
  int8_t index = 0;

  static constexpr Device cpu() { return {}; }
  static constexpr Device gpu(int index = 0) { return {Kind::gpu, int8_t(index)}; }
  constexpr bool is_gpu() const { return kind == Kind::gpu; }
  constexpr bool operator==(const Device&) const = default;
};

// The queue that work on a device is put into. On the CPU work is done at once.
struct Stream {
  Device device;
  void* handle = nullptr;  // cudaStream_t
};

struct ConstView {
  const void* pointer = nullptr;
  int64_t row_count = 0, col_count = 0, stride = 0;  // in elements
  DType type = DType::f32;

  int64_t rows() const { return row_count; }
  int64_t cols() const { return col_count; }
  int64_t size() const { return row_count * col_count; }
  DType dtype() const { return type; }
  bool contiguous() const { return stride == col_count || row_count <= 1; }
  explicit operator bool() const { return pointer != nullptr; }

  template <class T>
  const T* data() const {
    CHECK(type == dtype_of<T> || !pointer, "a view of ", name_of(type), " read as ", name_of(dtype_of<T>));
    return static_cast<const T*>(pointer);
  }
  template <class T>
  const T* row(int64_t n) const {
    return static_cast<const T*>(pointer) + n * stride;
  }

  ConstView columns(int64_t begin, int64_t end) const {
    ConstView view = *this;
    view.pointer = static_cast<const char*>(pointer) + begin * size_of(type);
    view.col_count = end - begin;
    return view;
  }
  ConstView row_range(int64_t begin, int64_t end) const {
    ConstView view = *this;
    view.pointer = static_cast<const char*>(pointer) + begin * stride * size_of(type);
    view.row_count = end - begin;
    return view;
  }
};

struct View : ConstView {
  View() = default;
  explicit View(const ConstView& view) : ConstView(view) {}

  template <class T>
  T* data() const {
    return const_cast<T*>(ConstView::data<T>());
  }
  template <class T>
  T* row(int64_t n) const {
    return const_cast<T*>(ConstView::row<T>(n));
  }
  View columns(int64_t begin, int64_t end) const { return View(ConstView::columns(begin, end)); }
  View row_range(int64_t begin, int64_t end) const { return View(ConstView::row_range(begin, end)); }
};

// Where the sequences of a ragged batch lie in a buffer of rows: sequence s owns the rows
// begin[s] ... begin[s] + length[s] - 1. Segments may leave gaps, share rows or be empty.
struct Segments {
  ConstView begin, length;  // int32 [count], on the device of the rows
  int64_t count = 0;
  int64_t longest = 0;  // no length is larger; known on the host

  explicit operator bool() const { return count > 0; }
};

}  // namespace cambium

// The side of kernel `f` that belongs to the stream's device.
#define DISPATCH(f, stream) ((stream).device.is_gpu() ? &::cambium::gpu::f : &::cambium::cpu::f)
