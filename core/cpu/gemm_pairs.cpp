// bfloat16 panels of the blocked product, two neighbours along k together, and the tiles of vdpbf16ps and tdpbf16ps in
// plain C++: what Intel's manual says each instruction computes, on the same panels.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/cpu/gemm_kernel.h"
#include "core/cpu/gemm_native.h"
#include "core/cpu/gemm_transpose.h"

namespace cambium::cpu {
namespace {

constexpr int64_t kColumns = 32;                   // of a panel of b: two vectors, or two tiles of AMX
constexpr int64_t kDepth = 512;                    // a panel of b takes 32 KiB
constexpr int64_t kVectorRows = 12;                // of a tile of vdpbf16ps
constexpr int64_t kTileRows = 32, kTileStep = 32;  // of two tiles of AMX

template <class F>
void visit_elements(const GemmOperand& x, const F& f) {
  if (x.type == DType::bf16) f(static_cast<const bfloat16*>(x.data));
  else f(static_cast<const float*>(x.data));
}

// `count` neighbours in bfloat16.
void round_line(const bfloat16* from, int64_t count, bfloat16* to) { std::memcpy(to, from, size_t(count) * 2); }
void round_line(const float* from, int64_t count, bfloat16* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = bfloat16(from[i]);
}

// Calls line(r, values) for each row of a, values in bfloat16, with zeros behind the last.
template <class Line>
void for_each_row(const GemmOperand& a, int64_t rows, int64_t K, const Line& line) {
  bfloat16 values[kDepth + kTileStep] = {};
  visit_elements(a, [&](const auto* from) {
    for (int64_t r = 0; r < rows; ++r) {
      if (a.col == 1) round_line(from + r * a.row, K, values);
      else
        for (int64_t k = 0; k < K; ++k) values[k] = bfloat16(float(from[r * a.row + k * a.col]));
      line(r, values);
    }
  });
}

// Rows as [k / 2][rows][2].
void pack_a_vectors(const GemmOperand& a, bool, int64_t rows, int64_t K, void* panel) {
  const int64_t pairs = (K + 1) / 2;
  char* words = static_cast<char*>(panel);
  for_each_row(a, rows, K, [&](int64_t r, const bfloat16* values) {
    for (int64_t k = 0; k < pairs; ++k) std::memcpy(words + 4 * (k * rows + r), values + 2 * k, 4);
  });
}

// Rows as [k / 32][32 rows][32]: tiles of AMX below each other, missing rows zero.
void pack_a_tiles(const GemmOperand& a, bool, int64_t rows, int64_t K, void* panel) {
  const int64_t steps = (K + kTileStep - 1) / kTileStep;
  bfloat16* tiles = static_cast<bfloat16*>(panel);
  if (rows < kTileRows) std::memset(panel, 0, size_t(steps * kTileRows * kTileStep) * 2);
  for_each_row(a, rows, K, [&](int64_t r, const bfloat16* values) {
    for (int64_t s = 0; s < steps; ++s)
      std::memcpy(tiles + (s * kTileRows + r) * kTileStep, values + s * kTileStep, kTileStep * 2);
  });
}

// Columns as [k / 2][32][2], from rows that lie in memory as they are: two of them interleaved.
template <class T>
void pack_b_plain(const T* b, int64_t row, int64_t count, int64_t K, int64_t padded, bfloat16* panels) {
  constexpr int64_t kAhead = 8;
  for (int64_t k = 0; k < padded; k += 2)
    for (int64_t begin = 0; begin < count; begin += kColumns) {
      bfloat16 *target = panels + begin * padded + k * kColumns, lines[2][kColumns] = {};
      const int64_t n = std::min(kColumns, count - begin);
      for (int64_t i = 0; i < 2 && k + i < K; ++i) {
        const T* source = b + (k + i) * row + begin;
        __builtin_prefetch(source + kAhead * row);
        if (n == kColumns) round_line(source, kColumns, lines[i]);
        else round_line(source, n, lines[i]);
      }
      for (int64_t j = 0; j < kColumns; ++j) target[2 * j] = lines[0][j], target[2 * j + 1] = lines[1][j];
    }
}

// Eight pairs of one column.
inline Eight load_pairs(const bfloat16* from) { return load_words(from); }
inline Eight load_pairs(const float* from) {
  bfloat16 values[16];
  round_line(from, 16, values);
  return load_words(values);
}

// The same for one panel where a column's elements are neighbours.
template <class T>
void pack_b_transposed(const T* b, int64_t col, int64_t count, int64_t K, int64_t padded, bfloat16* panel) {
  if (count < kColumns || padded > K) std::memset(static_cast<void*>(panel), 0, size_t(padded * kColumns) * 2);
  int64_t j = 0;
  const int64_t whole = K / 16 * 16;
  for (; j + 8 <= count; j += 8)
    for (int64_t k = 0; k < whole; k += 16) {
      Eight in[8];
      for (int i = 0; i < 8; ++i) {
        const T* source = b + (j + i) * col + k;
        in[i] = load_pairs(source);
        __builtin_prefetch(source + kColumns * col);
      }
      transpose_eight(in, [&](int64_t l, Eight out) { store_words(out, panel + (k + 2 * l) * kColumns + 2 * j); });
    }
  for (int64_t i = 0; i < count; ++i)
    for (int64_t k = i < j ? whole : 0; k < K; ++k)
      panel[k / 2 * 2 * kColumns + 2 * i + k % 2] = bfloat16(float(b[i * col + k]));
}

template <int64_t kStep>
void pack_b(const GemmOperand& b, bool, int64_t count, int64_t K, void* to) {
  bfloat16* panels = static_cast<bfloat16*>(to);
  const int64_t padded = (K + kStep - 1) / kStep * kStep;
  visit_elements(b, [&](const auto* from) {
    if (b.row != 1) return pack_b_plain(from, b.row, count, K, padded, panels);
    for (int64_t j = 0; j < count; j += kColumns)
      pack_b_transposed(from + j * b.col, b.col, std::min(kColumns, count - j), K, padded, panels + j * padded);
  });
}

// Both instructions take denormal numbers for zero and give zero for them, and round to nearest even.
float flushed(float x) { return std::abs(x) < 0x1p-126f ? std::copysign(0.f, x) : x; }
float value(const bfloat16* x) { return flushed(float(*x)); }
float fused(float a, float b, float sum) { return flushed(std::fma(a, b, flushed(sum))); }

// vdpbf16ps: of a pair the second product is added first.
void multiply_vectors(int64_t rows, int64_t K, const void* panel_a, const void* panel_b, float* c, int64_t c_row,
                      bool add) {
  const bfloat16 *a = static_cast<const bfloat16*>(panel_a), *b = static_cast<const bfloat16*>(panel_b);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t j = 0; j < kColumns; ++j) {
      float sum = add ? c[r * c_row + j] : 0.f;
      for (int64_t k = 0; k < K / 2; ++k) {
        const bfloat16 *x = a + 2 * (k * rows + r), *y = b + 2 * (k * kColumns + j);
        sum = fused(value(x + 1), value(y + 1), sum);
        sum = fused(value(x), value(y), sum);
      }
      c[r * c_row + j] = sum;
    }
}

// tdpbf16ps: of each 32 along k the first and the second ones of pairs are summed by themselves, then both sums are
// added, and their sum to what was there.
void multiply_tiles(int64_t rows, int64_t K, const void* panel_a, const void* panel_b, float* c, int64_t c_row,
                    bool add) {
  const bfloat16 *a = static_cast<const bfloat16*>(panel_a), *b = static_cast<const bfloat16*>(panel_b);
  for (int64_t r = 0; r < kTileRows; ++r)
    for (int64_t j = 0; j < kColumns; ++j) {
      float sum = add && r < rows ? c[r * c_row + j] : 0.f;
      for (int64_t s = 0; s < K; s += kTileStep) {
        float part[2] = {0, 0};
        for (int64_t k = 0; k < kTileStep; ++k)
          part[k % 2] = fused(value(a + s * kTileRows + r * kTileStep + k),
                              value(b + (s + k) / 2 * 2 * kColumns + 2 * j + k % 2), part[k % 2]);
        sum = flushed(flushed(sum) + flushed(part[0] + part[1]));
      }
      c[r * c_row + j] = sum;
    }
}

using Multiply = void(int64_t, int64_t, const void*, const void*, float*, int64_t, bool);

template <Multiply* kMultiply>
constexpr Microkernel kVectors{.name = kMultiply == multiply_vectors ? "avx512_bf16 in C++" : "avx512_bf16",
                               .rows = kVectorRows,
                               .columns = kColumns,
                               .step = 2,
                               .depth = kDepth,
                               .pairs = true,
                               .whole = false,
                               .block_rows = 192,
                               .block_panels = 8,
                               .pack_a = pack_a_vectors,
                               .pack_b = pack_b<2>,
                               .multiply = kMultiply};

template <Multiply* kMultiply>
constexpr Microkernel kTiles{.name = kMultiply == multiply_tiles ? "amx in C++" : "amx",
                             .rows = kTileRows,
                             .columns = kColumns,
                             .step = kTileStep,
                             .depth = kDepth,
                             .pairs = true,
                             .whole = true,
                             .block_rows = 256,
                             .block_panels = 8,
                             .pack_a = pack_a_tiles,
                             .pack_b = pack_b<kTileStep>,
                             .multiply = kMultiply,
                             .begin = kMultiply == multiply_tiles ? nullptr : native::configure_tiles,
                             .end = kMultiply == multiply_tiles ? nullptr : native::release_tiles};

}  // namespace

const Microkernel& pairs_kernel(Level level, bool twin) {
  if (level == Level::amx) return twin ? kTiles<multiply_tiles> : kTiles<native::multiply_tiles>;
  return twin ? kVectors<multiply_vectors> : kVectors<native::multiply_vectors>;
}

const Microkernel& kernel_for(bool low) {
  if (low && level() >= Level::avx512_bf16) return pairs_kernel(level(), false);
  if (level() == Level::neon) return neon_kernel();
  return float_kernel(std::min(level(), Level::avx512));
}

}  // namespace cambium::cpu
