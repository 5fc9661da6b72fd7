// The CPU side of low-rank updates: products of matrices, part after part.
#include "core/kernels/low_rank.h"

#include <cstring>

#include "core/kernels/elementwise.h"
#include "core/kernels/matmul.h"
#include "core/tensor.h"

namespace cambium::cpu {
namespace {

bool same_place(ConstView a, ConstView b) { return a.pointer == b.pointer && a.stride == b.stride; }

void scale_in_place(Stream& stream, View u, float factor) {
  if (factor != 1) scale(stream, u, factor, u);
}

void fill_zero(View x) {
  for (int64_t n = 0; n < x.rows(); ++n)
    std::memset(x.row<char>(n * size_of(x.dtype())), 0, size_t(x.cols() * size_of(x.dtype())));
}

}  // namespace

void low_rank_forward(Stream& stream, ConstView x, std::span<const LowRankPart> parts, ConstView y, View z) {
  if (!same_place(y, z)) convert(stream, y, z);
  for (const LowRankPart& p : parts) {
    matmul(stream, x.row_range(p.row_begin, p.row_end), p.a, {}, {.transpose_b = true}, p.u);
    scale_in_place(stream, p.u, p.scale);
    const View out = z.row_range(p.row_begin, p.row_end).columns(p.column_begin, p.column_end);
    matmul(stream, p.u, p.b, {}, {.transpose_b = true, .accumulate = true}, out);
  }
}

void low_rank_backward(Stream& stream, ConstView x, std::span<const LowRankPart> parts, ConstView dz,
                       std::span<const LowRankGradient> gradients, View dx) {
  if (dx) fill_zero(dx);
  for (size_t i = 0; i < parts.size(); ++i) {
    const LowRankPart& p = parts[i];
    const auto& [da, db] = gradients[i];
    const ConstView d = dz.row_range(p.row_begin, p.row_end).columns(p.column_begin, p.column_end);
    if (db) matmul(stream, d, p.u, {}, {.transpose_a = true}, db);
    if (!da && !dx) continue;
    const Tensor v = Tensor::empty({d.rows(), p.rank}, accumulator(dz.dtype()));
    matmul(stream, d, p.b, {}, {}, v);
    scale_in_place(stream, v, p.scale);
    if (da) matmul(stream, v, x.row_range(p.row_begin, p.row_end), {}, {.transpose_a = true}, da);
    if (dx) matmul(stream, v, p.a, {}, {.accumulate = true}, dx.row_range(p.row_begin, p.row_end));
  }
}

}  // namespace cambium::cpu
