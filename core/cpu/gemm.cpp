// The classical blocked product (Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication"):
// a is copied into panels of a few rows, b into panels of two vectors of columns, so that the innermost loop
// reads both in order and keeps its sums in registers. Compiled with -ffp-contract=fast, see small_matmul.cpp.
#include "core/cpu/gemm.h"

#include <omp.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/cpu/tiles.h"
#include "core/memory.h"

namespace cambium::cpu {
namespace {

using Floats = Vector<float>;
constexpr int64_t kWidth = kVector<float>;
constexpr int64_t kPanel = 2 * kWidth;  // columns of a panel of b
constexpr int64_t kDepth = 256;         // longest piece of k: a panel of b stays in the first-level cache
constexpr int64_t kBlockRows = 96;      // rows of a that stay in the second-level cache
constexpr int64_t kBlockPanels = 12;    // panels of b that do, too

Parts pieces_of(int64_t K) { return {K, divide_up(K, kDepth)}; }

template <bool kRound, class T>
float read(T value) {
  if constexpr (kRound && std::is_same_v<T, float>) return float(bfloat16(value));
  else return float(value);
}

// Calls f(Type<T>, round) with the element type and whether its values are rounded to bfloat16.
template <class F>
void visit_operand(DType type, bool round, const F& f) {
  if (type == DType::bf16) f(Type<bfloat16>(), std::false_type());
  else if (round) f(Type<float>(), std::true_type());
  else f(Type<float>(), std::false_type());
}

// R rows of a as [k][R].
template <bool kRound, class T>
void pack_rows(const T* a, int64_t row, int64_t col, int64_t R, int64_t K, float* panel) {
  if (row == 1) {
    for (int64_t k = 0; k < K; ++k)
      for (int64_t r = 0; r < R; ++r) panel[k * R + r] = read<kRound>(a[k * col + r]);
  } else {
    for (int64_t r = 0; r < R; ++r)
      for (int64_t k = 0; k < K; ++k) panel[k * R + r] = read<kRound>(a[r * row + k * col]);
  }
}

using Eight [[gnu::vector_size(32)]] = float;

// to[k][j] = from[j][k], 8 x 8.
template <class Store>
void transpose_eight(const Eight (&in)[8], const Store& store) {
  Eight a[8], b[8];
  for (int i = 0; i < 8; i += 2) {
    a[i] = __builtin_shufflevector(in[i], in[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    a[i + 1] = __builtin_shufflevector(in[i], in[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
  for (int i = 0; i < 8; i += 4)
    for (int j = 0; j < 2; ++j) {
      b[i + j] = __builtin_shufflevector(a[i + j], a[i + j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
      b[i + j + 2] = __builtin_shufflevector(a[i + j], a[i + j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int k = 0; k < 4; ++k) {
    store(k, __builtin_shufflevector(b[k], b[k + 4], 0, 1, 2, 3, 8, 9, 10, 11));
    store(k + 4, __builtin_shufflevector(b[k], b[k + 4], 4, 5, 6, 7, 12, 13, 14, 15));
  }
}

using EightHalves [[gnu::vector_size(16)]] = uint16_t;
using EightWords [[gnu::vector_size(32)]] = uint32_t;

// Eight neighbours, widened.
inline Eight load_eight(const float* from) {
  Eight v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
inline Eight load_eight(const bfloat16* from) {
  EightHalves v;
  std::memcpy(&v, from, sizeof v);
  return std::bit_cast<Eight>(__builtin_convertvector(v, EightWords) << 16);
}
inline void store_eight(Eight v, float* to) { std::memcpy(to, &v, sizeof v); }
inline Eight rounded(Eight v) {
  float values[8];
  std::memcpy(values, &v, sizeof v);
  for (float& x : values) x = bfloat16(x);
  return load_eight(values);
}

// `count` columns of b in panels [k][kPanel], one after the other, columns that are missing in the last one zero. From
// rows that lie in memory as they are: whole rows at a time, which memory is fastest at.
template <bool kRound, class T>
void pack_plain(const T* b, int64_t row, int64_t count, int64_t K, float* panels) {
  constexpr int64_t kAhead = 8;  // rows are far apart: the processor does not see which comes next
  for (int64_t k = 0; k < K; ++k)
    for (int64_t begin = 0; begin < count; begin += kPanel) {
      const T* source = b + k * row + begin;
      float* target = panels + begin * K + k * kPanel;
      const int64_t n = std::min(kPanel, count - begin);
      __builtin_prefetch(source + kAhead * row);
      if (n == kPanel)
        for (int64_t j = 0; j < kPanel; ++j) target[j] = read<kRound>(source[j]);
      else
        for (int64_t j = 0; j < kPanel; ++j) target[j] = j < n ? read<kRound>(source[j]) : 0.f;
    }
}

// The same where a column's elements are neighbours.
template <bool kRound, class T>
void pack_transposed(const T* b, int64_t col, int64_t count, int64_t K, float* panel) {
  if (count < kPanel) std::fill_n(panel, K * kPanel, 0.f);
  int64_t j = 0;
  for (; kPanel >= 8 && j + 8 <= count; j += 8) {
    int64_t k = 0;
    for (; k + 8 <= K; k += 8) {
      Eight in[8];
      for (int i = 0; i < 8; ++i) {
        const T* source = b + (j + i) * col + k;
        in[i] = load_eight(source);
        if constexpr (kRound && std::is_same_v<T, float>) in[i] = rounded(in[i]);
        __builtin_prefetch(source + kPanel * col);
      }
      transpose_eight(in, [&](int64_t l, Eight out) { store_eight(out, panel + (k + l) * kPanel + j); });
    }
    for (; k < K; ++k)
      for (int64_t i = 0; i < 8; ++i) panel[k * kPanel + j + i] = read<kRound>(b[(j + i) * col + k]);
  }
  for (; j < count; ++j)
    for (int64_t k = 0; k < K; ++k) panel[k * kPanel + j] = read<kRound>(b[j * col + k]);
}

// Where a tile of c lies and what is added to its sums.
struct Target {
  float* c;
  int64_t c_row, columns;
  const float* bias;  // of the tile's columns; null: none
  bool add;           // to what is in c
};

// One tile: R rows of a times one panel of b.
template <int R>
void tile(int64_t K, const float* __restrict a, const float* __restrict b, const Target& t) {
  Floats sum[R][2];
#pragma GCC unroll 12
  for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = Floats{};
#pragma GCC unroll 2
  for (int64_t k = 0; k < K; ++k) {
    Floats b0, b1;
    std::memcpy(&b0, b + k * kPanel, sizeof b0);
    std::memcpy(&b1, b + k * kPanel + kWidth, sizeof b1);
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r) {
      const float factor = a[k * R + r];
      sum[r][0] += b0 * factor;
      sum[r][1] += b1 * factor;
    }
  }
  const auto finish = [&](float* c, int64_t c_row, const float* bias) {
#pragma GCC unroll 12
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        Floats v = sum[r][half], other;
        float* place = c + r * c_row + half * kWidth;
        if (bias) std::memcpy(&other, bias + half * kWidth, sizeof other), v += other;
        if (t.add) std::memcpy(&other, place, sizeof other), v += other;
        std::memcpy(place, &v, sizeof v);
      }
  };
  if (t.columns == kPanel) return finish(t.c, t.c_row, t.bias);
  float part[R * kPanel] = {}, bias[kPanel] = {};  // the last columns, in a tile as wide as the others
  for (int r = 0; t.add && r < R; ++r) std::copy_n(t.c + r * t.c_row, t.columns, part + r * kPanel);
  if (t.bias) std::copy_n(t.bias, t.columns, bias);
  finish(part, kPanel, t.bias ? bias : nullptr);
  for (int r = 0; r < R; ++r) std::copy_n(part + r * kPanel, t.columns, t.c + r * t.c_row);
}

template <int R = kTileRows>
void tile_of(int64_t rows, int64_t K, const float* a, const float* b, const Target& t) {
  if constexpr (R > 1)
    if (rows < R) return tile_of<R - 1>(rows, K, a, b, t);
  tile<R>(K, a, b, t);
}

// Panels [first, first + count) of b for piece [k, k + length), in float32.
void pack_panels(const GemmProblem& p, int64_t first, int64_t count, int64_t k, int64_t length, float* panels) {
  visit_operand(p.b.type, p.round, [&]<class T>(Type<T>, auto round) {
    const T* b = static_cast<const T*>(p.b.data) + k * p.b.row + first * kPanel * p.b.col;
    const int64_t columns = std::min(count * kPanel, p.N - first * kPanel);
    if (p.b.row != 1) return pack_plain<round.value>(b, p.b.row, columns, length, panels);
    for (int64_t j = 0; j < columns; j += kPanel)
      pack_transposed<round.value>(b + j * p.b.col, p.b.col, std::min(kPanel, columns - j), length,
                                   panels + j * length);
  });
}

// Row panels [row, row_end) times panels [first, first + count) of b, all of k. `a` holds the packed pieces.
void block(Stream& stream, const GemmProblem& p, const float* a, const Parts& rows, int64_t row, int64_t row_end,
           int64_t first, int64_t count) {
  const Scratch<float> packed(stream, kBlockPanels * kDepth * kPanel);
  float* b = packed.data();
  const Parts pieces = pieces_of(p.K);
  constexpr int64_t kStep = kBlockRows / kTileRows;
  for (int64_t piece = 0; piece < pieces.parts; ++piece) {
    const int64_t k = pieces.begin(piece), length = pieces.size(piece);
    pack_panels(p, first, count, k, length, b);
    for (int64_t some = row; some < row_end; some += kStep)
      for (int64_t j = 0; j < count; ++j)
        for (int64_t i = some; i < std::min(row_end, some + kStep); ++i) {
          const int64_t m = rows.begin(i), n = (first + j) * kPanel;
          tile_of(rows.size(i), length, a + k * p.M + m * length, b + j * length * kPanel,
                  {p.c + m * p.c_row + n, p.c_row, std::min(kPanel, p.N - n),
                   p.bias && piece == 0 ? p.bias + n : nullptr, p.accumulate || piece > 0});
        }
  }
}

}  // namespace

void gemm(Stream& stream, const GemmProblem& p) {
  const Parts rows = tile_rows(p.M), pieces = pieces_of(p.K);
  Scratch<float> packed(stream, p.M * p.K);  // [piece][row panel][k][row]
  float* a = packed.data();
  // Tasks are blocks of columns; where those are too few for the threads, also of rows.
  const int64_t panels = divide_up(p.N, kPanel), threads = omp_get_max_threads();
  const int64_t wanted = std::max(divide_up(panels, kBlockPanels), threads);
  const Parts columns{panels, std::min(panels, divide_up(wanted, threads) * threads)};
  const int64_t most = std::max<int64_t>(1, p.M / kBlockRows);
  const Parts row_blocks{
      rows.parts, std::clamp<int64_t>(divide_up(2 * threads, columns.parts), 1, columns.parts < threads ? most : 1)};
#pragma omp parallel if (p.M * p.N * p.K > 32768)
  {
#pragma omp for schedule(static) collapse(2)
    for (int64_t piece = 0; piece < pieces.parts; ++piece)
      for (int64_t i = 0; i < rows.parts; ++i) {
        const int64_t m = rows.begin(i), k = pieces.begin(piece), length = pieces.size(piece);
        visit_operand(p.a.type, p.round, [&]<class T>(Type<T>, auto round) {
          pack_rows<round.value>(static_cast<const T*>(p.a.data) + m * p.a.row + k * p.a.col, p.a.row, p.a.col,
                                 rows.size(i), length, a + k * p.M + m * length);
        });
      }
#pragma omp for schedule(dynamic, 1)
    for (int64_t task = 0; task < columns.parts * row_blocks.parts; ++task) {
      const int64_t j = task / row_blocks.parts, i = task % row_blocks.parts;
      block(stream, p, a, rows, row_blocks.begin(i), row_blocks.begin(i + 1), columns.begin(j), columns.size(j));
    }
  }
}

}  // namespace cambium::cpu
