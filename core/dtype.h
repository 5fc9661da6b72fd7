// Element types: what they are called, how large they are, and how code is written once for all of them.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

#include "core/error.h"

namespace cambium {

enum class DType : uint8_t { f32, bf16, f64, i32 };

// The upper half of a float32: 1 sign, 8 exponent and 7 mantissa bits. Rounds to nearest, ties to even.
struct bfloat16 {
  uint16_t bits;

  bfloat16() = default;
  constexpr explicit bfloat16(float value) : bits(rounded(value)) {}
  constexpr explicit bfloat16(double value) : bfloat16(float(value)) {}
  constexpr operator float() const { return std::bit_cast<float>(uint32_t(bits) << 16); }

 private:
  static constexpr uint16_t rounded(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    const uint32_t nearest = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    const bool nan = (u & 0x7fffffff) > 0x7f800000;
    return uint16_t(nan ? (u >> 16 | 0x40) : nearest);
  }
};

template <class T>
struct Type {
  using type = T;
};

template <class T>
inline constexpr DType dtype_of = DType::f32;
template <>
inline constexpr DType dtype_of<bfloat16> = DType::bf16;
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<int32_t> = DType::i32;

// What values of type T are summed in: float32, or double for double.
template <class T>
struct WideOf {
  using type = float;
};
template <>
struct WideOf<double> {
  using type = double;
};
template <class T>
using Wide = typename WideOf<T>::type;
template <class T>
constexpr Wide<T> wide(T value) {
  return Wide<T>(value);
}

constexpr DType accumulator(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }
constexpr int64_t size_of(DType t) { return t == DType::f64 ? 8 : t == DType::bf16 ? 2 : 4; }
constexpr std::string_view name_of(DType t) {
  return t == DType::f32 ? "f32" : t == DType::bf16 ? "bf16" : t == DType::f64 ? "f64" : "i32";
}

// Calls f(Type<T>{}) with the floating-point type T that t names.
template <class F>
decltype(auto) visit(DType t, F&& f) {
  switch (t) {
    case DType::f32: return f(Type<float>{});
    case DType::bf16: return f(Type<bfloat16>{});
    case DType::f64: return f(Type<double>{});
    case DType::i32: break;
  }
  throw Error("an integer tensor where a floating-point one is needed");
}

// The same for the accumulator types, float and double.
template <class F>
decltype(auto) visit_wide(DType t, F&& f) {
  if (t == DType::f64) return f(Type<double>{});
  CHECK(t == DType::f32, "a ", name_of(t), " tensor where float32 is needed");
  return f(Type<float>{});
}

}  // namespace cambium
