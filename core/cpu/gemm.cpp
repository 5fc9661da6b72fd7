// The classical blocked product (Goto & van de Geijn 2008, "Anatomy of high-performance matrix multiplication"):
// a is copied into panels of a few rows, b into panels of some columns, so that the innermost loop, the microkernel,
// reads both in order and keeps its sums in registers.
#include "core/cpu/gemm.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/cpu/parallel.h"
#include "core/cpu/peak.h"
#include "core/cpu/tiles.h"
#include "core/memory.h"
#include "core/threads.h"

namespace cambium::cpu {
namespace {

constexpr int64_t kPackedBytes = 8 << 20;  // of a at once: more rows are done one part after the other
constexpr int64_t kFewestRows = 128;       // of such a part, however long k is
constexpr int64_t kTasksPerThread = 4, kFewestPanels = 3;

GemmOperand at(const GemmOperand& x, int64_t i, int64_t j) {
  GemmOperand part = x;
  part.data = static_cast<const char*>(x.data) + (i * x.row + j * x.col) * size_of(x.type);
  return part;
}

// k cut into pieces of equal numbers of the kernel's steps, which depend on K alone.
struct Pieces {
  int64_t K, step;
  Parts steps;
  Pieces(int64_t k, const Microkernel& kernel)
      : K(k), step(kernel.step), steps{divide_up(k, kernel.step),
                                       divide_up(divide_up(k, kernel.step), kernel.depth / kernel.step)} {}
  int64_t count() const { return steps.parts; }
  int64_t begin(int64_t i) const { return steps.begin(i) * step; }
  int64_t length(int64_t i) const { return std::min(K, steps.begin(i + 1) * step) - begin(i); }
  int64_t padded(int64_t i) const { return steps.size(i) * step; }
  int64_t padded() const { return steps.count * step; }
};

// Rows [first, first + M) of the product in panels, and where those lie when they are packed.
struct RowPanels {
  int64_t first, M;
  const Microkernel& kernel;
  Parts parts{M, divide_up(M, kernel.rows)};
  int64_t begin(int64_t i) const { return kernel.whole ? std::min(M, i * kernel.rows) : parts.begin(i); }
  int64_t size(int64_t i) const { return begin(i + 1) - begin(i); }
  int64_t packed_rows() const { return kernel.whole ? parts.parts * kernel.rows : M; }
  int64_t packed_begin(int64_t i) const { return kernel.whole ? i * kernel.rows : begin(i); }
};

// A product of `rows.M` rows whose panels of a are packed: [piece][row panel][k][row].
struct Part {
  const GemmProblem& p;
  const Microkernel& kernel;
  RowPanels rows;
  Pieces pieces;
  char* a;

  char* panel(int64_t piece, int64_t i) const {
    return a +
           (pieces.begin(piece) * rows.packed_rows() + pieces.padded(piece) * rows.packed_begin(i)) * kernel.element();
  }
  void pack(int64_t piece, int64_t i) const {
    kernel.pack_a(at(p.a, rows.first + rows.begin(i), pieces.begin(piece)), p.round, rows.size(i), pieces.length(piece),
                  panel(piece, i));
  }
};

// One tile, by way of a whole one where the last columns, or a kernel that writes whole tiles, would write too far.
void multiply(const Microkernel& kernel, int64_t rows, int64_t columns, int64_t length, const void* a, const void* b,
              float* c, int64_t c_row, bool add) {
  if (columns == kernel.columns && (!kernel.whole || rows == kernel.rows))
    return kernel.multiply(rows, length, a, b, c, c_row, add);
  float whole[32 * 32] = {};
  for (int64_t r = 0; add && r < rows; ++r) std::copy_n(c + r * c_row, columns, whole + r * kernel.columns);
  kernel.multiply(rows, length, a, b, whole, kernel.columns, add);
  for (int64_t r = 0; r < rows; ++r) std::copy_n(whole + r * kernel.columns, columns, c + r * c_row);
}

// Row panels [row, row_end) times panels [first, first + count) of b, all of k.
void block(Stream& stream, const Part& part, int64_t row, int64_t row_end, int64_t first, int64_t count) {
  const GemmProblem& p = part.p;
  const Microkernel& kernel = part.kernel;
  const int64_t begin = first * kernel.columns, columns = std::min(count * kernel.columns, p.N - begin);
  const int64_t top = part.rows.begin(row), height = part.rows.begin(row_end) - top;
  const Scratch<char> packed(stream,
                             count * kernel.columns * std::min(kernel.depth, part.pieces.padded()) * kernel.element());
  // Sums of a float32 result are kept in it.
  const bool in_place = p.c_type == DType::f32;
  const Scratch<float> own(stream, in_place ? 1 : height * columns);
  float* sums = in_place ? static_cast<float*>(p.c) + (part.rows.first + top) * p.c_row + begin : own.data();
  const int64_t sums_row = in_place ? p.c_row : columns;
  if (!in_place && p.accumulate)
    for (int64_t m = 0; m < height; ++m) {
      const bfloat16* c = static_cast<const bfloat16*>(p.c) + (part.rows.first + top + m) * p.c_row + begin;
      for (int64_t n = 0; n < columns; ++n) sums[m * sums_row + n] = float(c[n]);
    }
  if (kernel.begin) kernel.begin();
  const int64_t step = kernel.block_rows / kernel.rows;
  for (int64_t piece = 0; piece < part.pieces.count(); ++piece) {
    const int64_t k = part.pieces.begin(piece), length = part.pieces.padded(piece);
    kernel.pack_b(at(p.b, k, begin), p.round, columns, part.pieces.length(piece), packed.data());
    for (int64_t some = row; some < row_end; some += step) {
      const int64_t end = std::min(row_end, some + step), m0 = part.rows.begin(some) - top;
      for (int64_t j = 0; j < count; ++j)
        for (int64_t i = some; i < end; ++i) {
          const int64_t m = part.rows.begin(i) - top, n = j * kernel.columns;
          multiply(kernel, part.rows.size(i), std::min(kernel.columns, columns - n), length, part.panel(piece, i),
                   packed.data() + n * length * kernel.element(), sums + m * sums_row + n, sums_row,
                   p.accumulate || piece > 0);
        }
      if (piece == part.pieces.count() - 1)
        finish_block(p, sums + m0 * sums_row, sums_row, part.rows.first + top + m0, part.rows.begin(end) - top - m0,
                     begin, columns);
    }
  }
  if (kernel.end) kernel.end();
}

// Sums of nothing.
void multiply_nothing(const GemmProblem& p) {
  std::vector<float> sums(static_cast<size_t>(p.N));
  for (int64_t m = 0; m < p.M; ++m) {
    std::fill(sums.begin(), sums.end(), 0.f);
    if (p.accumulate)
      visit(p.c_type, [&]<class T>(Type<T>) {
        const T* c = static_cast<const T*>(p.c) + m * p.c_row;
        for (int64_t n = 0; n < p.N; ++n) sums[size_t(n)] = float(c[n]);
      });
    finish_block(p, sums.data(), p.N, m, 1, 0, p.N);
  }
}

}  // namespace

void gemm(Stream& stream, const GemmProblem& p, const Microkernel& kernel) {
  if (p.K == 0) return multiply_nothing(p);
  count_flops(2 * double(p.M) * double(p.N) * double(p.K));
  const Pieces pieces(p.K, kernel);
  // a is packed once for all columns, as many rows at a time as fit.
  const int64_t row_bytes = pieces.padded() * kernel.element(), panels = divide_up(p.M, kernel.rows);
  const int64_t most = std::max(kFewestRows, kPackedBytes / row_bytes) / kernel.rows;
  const Parts row_parts{panels, divide_up(panels, most)};
  const int64_t largest = std::min(panels, divide_up(panels, row_parts.parts)) * kernel.rows;
  const Scratch<char> packed(stream, largest * row_bytes);
  const bool small = double(p.M) * double(p.N) * double(p.K) <= 32768;
  for (int64_t r = 0; r < row_parts.parts; ++r) {
    const int64_t first = row_parts.begin(r) * kernel.rows;
    const Part part{
        p, kernel, {first, std::min(p.M, row_parts.begin(r + 1) * kernel.rows) - first, kernel}, pieces, packed.data()};
    const int64_t row_panels = part.rows.parts.parts;
    const auto pack = [&](int64_t n) { part.pack(n / row_panels, n % row_panels); };
    if (small)
      for (int64_t n = 0; n < pieces.count() * row_panels; ++n) pack(n);
    else parallel_rows(pieces.count() * row_panels, pack);
    // Tasks are blocks of columns; where those are too few for the threads, also of rows.
    const int64_t columns = divide_up(p.N, kernel.columns), wanted = kTasksPerThread * threads();
    const Parts blocks{
        columns, std::clamp(wanted, divide_up(columns, kernel.block_panels),
                            std::max(divide_up(columns, kernel.block_panels), divide_up(columns, kFewestPanels)))};
    const int64_t tallest = std::max<int64_t>(1, part.rows.M / kernel.block_rows);
    const Parts row_blocks{row_panels, std::clamp<int64_t>(divide_up(wanted, blocks.parts), 1, tallest)};
    parallel_tasks(
        blocks.parts * row_blocks.parts,
        [&](int64_t task) {
          const int64_t j = task / row_blocks.parts, i = task % row_blocks.parts;
          block(stream, part, row_blocks.begin(i), row_blocks.begin(i + 1), blocks.begin(j), blocks.size(j));
        },
        !small);
  }
}

void gemm(Stream& stream, const GemmProblem& p) {
  gemm(stream, p, kernel_for(p.round || p.a.type == DType::bf16 || p.b.type == DType::bf16));
}

}  // namespace cambium::cpu
