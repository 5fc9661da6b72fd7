// Float32 tiles of the blocked product, and the packing of their panels. bfloat16 is widened while it is packed.
// Compiled with -ffp-contract=fast, see small_matmul.cpp.
#include <algorithm>
#include <bit>
#include <cstring>

#include "core/cpu/gemm_kernel.h"
#include "core/cpu/gemm_native.h"
#include "core/cpu/gemm_transpose.h"

namespace cambium::cpu {
namespace {

template <bool kRound, class T>
float read(T value) {
  if constexpr (kRound && std::is_same_v<T, float>) return float(bfloat16(value));
  else return float(value);
}

// Calls f(pointer, round) with the operand's elements and whether they are rounded to bfloat16.
template <class F>
void visit_operand(const GemmOperand& x, bool round, const F& f) {
  if (x.type == DType::bf16) f(static_cast<const bfloat16*>(x.data), std::false_type());
  else if (round) f(static_cast<const float*>(x.data), std::true_type());
  else f(static_cast<const float*>(x.data), std::false_type());
}

// R rows of a as [k][R].
void pack_a(const GemmOperand& a, bool round, int64_t R, int64_t K, void* to) {
  float* panel = static_cast<float*>(to);
  visit_operand(a, round, [&]<class T>(const T* from, auto rounded) {
    if (a.row == 1) {
      for (int64_t k = 0; k < K; ++k)
        for (int64_t r = 0; r < R; ++r) panel[k * R + r] = read<rounded.value>(from[k * a.col + r]);
    } else {
      for (int64_t r = 0; r < R; ++r)
        for (int64_t k = 0; k < K; ++k) panel[k * R + r] = read<rounded.value>(from[r * a.row + k * a.col]);
    }
  });
}

using EightHalves [[gnu::vector_size(16)]] = uint16_t;
using EightWords [[gnu::vector_size(32)]] = uint32_t;

// Eight neighbours, widened.
inline Eight load_eight(const float* from) { return load_words(from); }
inline Eight load_eight(const bfloat16* from) {
  EightHalves v;
  std::memcpy(&v, from, sizeof v);
  return std::bit_cast<Eight>(__builtin_convertvector(v, EightWords) << 16);
}
inline Eight rounded(Eight v) {
  float values[8];
  std::memcpy(values, &v, sizeof v);
  for (float& x : values) x = bfloat16(x);
  return load_eight(values);
}

// `count` columns of b in panels [k][W], one after the other, columns that are missing in the last one zero. From
// rows that lie in memory as they are: whole rows at a time, which memory is fastest at.
template <int64_t W, bool kRound, class T>
void pack_plain(const T* b, int64_t row, int64_t count, int64_t K, float* panels) {
  constexpr int64_t kAhead = 8;  // rows are far apart: the processor does not see which comes next
  for (int64_t k = 0; k < K; ++k)
    for (int64_t begin = 0; begin < count; begin += W) {
      const T* source = b + k * row + begin;
      float* target = panels + begin * K + k * W;
      const int64_t n = std::min(W, count - begin);
      __builtin_prefetch(source + kAhead * row);
      if (n == W)
        for (int64_t j = 0; j < W; ++j) target[j] = read<kRound>(source[j]);
      else
        for (int64_t j = 0; j < W; ++j) target[j] = j < n ? read<kRound>(source[j]) : 0.f;
    }
}

// One panel where a column's elements are neighbours.
template <int64_t W, bool kRound, class T>
void pack_transposed(const T* b, int64_t col, int64_t count, int64_t K, float* panel) {
  if (count < W) std::fill_n(panel, K * W, 0.f);
  int64_t j = 0;
  for (; j + 8 <= count; j += 8) {
    int64_t k = 0;
    for (; k + 8 <= K; k += 8) {
      Eight in[8];
      for (int i = 0; i < 8; ++i) {
        const T* source = b + (j + i) * col + k;
        in[i] = load_eight(source);
        if constexpr (kRound && std::is_same_v<T, float>) in[i] = rounded(in[i]);
        __builtin_prefetch(source + W * col);
      }
      transpose_eight(in, [&](int64_t l, Eight out) { store_words(out, panel + (k + l) * W + j); });
    }
    for (; k < K; ++k)
      for (int64_t i = 0; i < 8; ++i) panel[k * W + j + i] = read<kRound>(b[(j + i) * col + k]);
  }
  for (; j < count; ++j)
    for (int64_t k = 0; k < K; ++k) panel[k * W + j] = read<kRound>(b[j * col + k]);
}

template <int64_t W>
void pack_b(const GemmOperand& b, bool round, int64_t count, int64_t K, void* to) {
  float* panels = static_cast<float*>(to);
  visit_operand(b, round, [&]<class T>(const T* from, auto rounded) {
    if (b.row != 1) return pack_plain<W, rounded.value>(from, b.row, count, K, panels);
    for (int64_t j = 0; j < count; j += W)
      pack_transposed<W, rounded.value>(from + j * b.col, b.col, std::min(W, count - j), K, panels + j * K);
  });
}

// R rows of a times one panel of b, two vectors wide.
template <int kBytes, int R>
void tile(int64_t K, const float* __restrict a, const float* __restrict b, float* c, int64_t c_row, bool add) {
  using Floats [[gnu::vector_size(kBytes)]] = float;
  constexpr int64_t kWidth = kBytes / 4;
  Floats sum[R][2];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = Floats{};
#pragma GCC unroll 2
  for (int64_t k = 0; k < K; ++k) {
    Floats b0, b1;
    std::memcpy(&b0, b + k * 2 * kWidth, sizeof b0);
    std::memcpy(&b1, b + k * 2 * kWidth + kWidth, sizeof b1);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const float factor = a[k * R + r];
      sum[r][0] += b0 * factor;
      sum[r][1] += b1 * factor;
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      Floats v = sum[r][half], other;
      float* place = c + r * c_row + half * kWidth;
      if (add) std::memcpy(&other, place, sizeof other), v += other;
      std::memcpy(place, &v, sizeof v);
    }
}

template <int kBytes, int R>
void multiply(int64_t rows, int64_t K, const void* a, const void* b, float* c, int64_t c_row, bool add) {
  if constexpr (R > 1)
    if (rows < R) return multiply<kBytes, R - 1>(rows, K, a, b, c, c_row, add);
  tile<kBytes, R>(K, static_cast<const float*>(a), static_cast<const float*>(b), c, c_row, add);
}

// Sums fill the registers but for two vectors of b and one element of a. A panel of b stays in the first-level cache.
template <int kBytes, int R>
constexpr Microkernel float_tiles(const char* name, decltype(Microkernel::multiply) product = multiply<kBytes, R>) {
  return {.name = name,
          .rows = R,
          .columns = kBytes / 2,
          .step = 1,
          .depth = 256,
          .pairs = false,
          .whole = false,
          .block_rows = 96,
          .block_panels = 12,
          .pack_a = pack_a,
          .pack_b = pack_b<kBytes / 2>,
          .multiply = product};
}
constexpr Microkernel kNeonTwin = float_tiles<16, 12>("neon in C++"), kX86_64 = float_tiles<16, 6>("x86-64"),
                      kAvx2 = float_tiles<32, 6>("avx2"), kAvx512 = float_tiles<64, 12>("avx512"),
                      kNeon = float_tiles<16, 12>("neon", native::multiply_neon);

}  // namespace

const Microkernel& float_kernel(Level width) {
  switch (width) {
    case Level::neon: return kNeonTwin;
    case Level::x86_64: return kX86_64;
    case Level::avx2: return kAvx2;
    default: return kAvx512;
  }
}

const Microkernel& neon_kernel() { return kNeon; }

}  // namespace cambium::cpu
