// IEEE half precision (1 sign, 5 exponent, 10 mantissa bits): a format of files only.
#pragma once

#include <bit>
#include <cstdint>

namespace cambium {

// Exact: every half is a float.
constexpr float half_to_float(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023;
  if (exponent == 0) {  // mantissa 2^-24
    const float magnitude = float(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  const uint32_t wide = exponent == 31 ? 255 : exponent + 112;  // infinite or not a number; else the bias, 127 for 15
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

}  // namespace cambium
