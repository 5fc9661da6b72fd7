// exp, tanh and erf in forms that a compiler turns into vector code, for float; for double the library's.
// The same function gives the same bits in a vector loop and in its remainder.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace cambium::cpu {

// a * b + c, rounded once where the instruction set has it. (Contraction is off: the order is ours.)
inline float multiply_add(float a, float b, float c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
inline double multiply_add(double a, double b, double c) {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

// e^x, relative error below 2e-7: x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor polynomial. Below
// -87.3 the result is 0; above 88.7 it is infinite; NaN stays NaN.
[[gnu::always_inline]] inline float exp(float x) {  // inlined, or loops over it are not vector code
  const float bounded = x < -87.3f ? -87.3f : x > 88.7f ? 88.7f : x;
  const float n = __builtin_rintf(bounded * 1.44269504f);
  const float r = multiply_add(n, -1.42860677e-6f, multiply_add(n, -0.693145752f, bounded));
  float p = 1.f / 5040;
  p = multiply_add(p, r, 1.f / 720);
  p = multiply_add(p, r, 1.f / 120);
  p = multiply_add(p, r, 1.f / 24);
  p = multiply_add(p, r, 1.f / 6);
  p = multiply_add(p, r, 0.5f);
  p = multiply_add(p, r, 1.f);
  p = multiply_add(p, r, 1.f);
  // 2^n as two factors: n reaches 128, one more than a float's exponent holds.
  const int32_t half = int32_t(n) >> 1, rest = int32_t(n) - half;
  const float y = p * std::bit_cast<float>((half + 127) << 23) * std::bit_cast<float>((rest + 127) << 23);
  const float kept = x < -87.3f ? 0.f : x > 88.7f ? __builtin_inff() : y;
  return x == x ? kept : x;
}
inline double exp(double x) { return std::exp(x); }

// (1 - e^-2|x|) / (1 + e^-2|x|); near zero, where that cancels, the odd Taylor polynomial.
[[gnu::always_inline]] inline float tanh(float x) {
  const float a = x < 0 ? -x : x;
  const float e = exp(-2 * a);
  const float large = (1 - e) / (1 + e);
  const float s = x * x;
  float p = -1382.f / 155925;
  p = multiply_add(p, s, 62.f / 2835);
  p = multiply_add(p, s, -17.f / 315);
  p = multiply_add(p, s, 2.f / 15);
  p = multiply_add(p, s, -1.f / 3);
  p = multiply_add(p, s, 1.f);
  return a < 0.35f ? x * p : x < 0 ? -large : large;
}
inline double tanh(double x) { return std::tanh(x); }

// erf x, absolute error below 3e-7. |x| < 1: the Maclaurin series to x^15; else 1 - erfc by Abramowitz &
// Stegun 7.1.26 with the exact e^(-x^2) (error 1.5e-7).
[[gnu::always_inline]] inline float erf(float x) {
  const float a = x < 0 ? -x : x;
  const float s = x * x;
  float p = -1.f / 75600;
  p = multiply_add(p, s, 1.f / 9360);
  p = multiply_add(p, s, -1.f / 1320);
  p = multiply_add(p, s, 1.f / 216);
  p = multiply_add(p, s, -1.f / 42);
  p = multiply_add(p, s, 1.f / 10);
  p = multiply_add(p, s, -1.f / 3);
  p = multiply_add(p, s, 1.f);
  const float small = 1.12837917f * x * p;
  const float t = 1 / multiply_add(0.3275911f, a, 1.f);
  float q = 1.061405429f;
  q = multiply_add(q, t, -1.453152027f);
  q = multiply_add(q, t, 1.421413741f);
  q = multiply_add(q, t, -0.284496736f);
  q = multiply_add(q, t, 0.254829592f);
  const float large = 1 - q * t * exp(-s);
  return a < 1 ? small : x < 0 ? -large : large;
}
inline double erf(double x) { return std::erf(x); }

}  // namespace cambium::cpu
