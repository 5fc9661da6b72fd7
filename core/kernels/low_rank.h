// Signatures of low-rank updates (Hu et al. 2022, "LoRA", eq. 3) of several projections of one input at once.
#pragma once

#include <span>

#include "core/view.h"

namespace cambium {

// One adapted projection: in rows [row_begin, row_end) of x [N, in] and y [N, out] and in columns [column_begin,
// column_end), y gets u B^T with u = scale * x A^T. Parts may overlap; they are added in order.
struct LowRankPart {
  ConstView a;  // [rank, in] in the accumulator type, as b and u
  ConstView b;  // [columns, rank]
  View u;       // [rows, rank]
  float scale = 1;
  int64_t rank = 0;
  int64_t row_begin = 0, row_end = 0, column_begin = 0, column_end = 0;

  int64_t rows() const { return row_end - row_begin; }
  int64_t columns() const { return column_end - column_begin; }
};

// Sets each part's u, and z = y + (sum of the parts); x, y, z of one type. z may be y.
using LowRankForward = void(Stream&, ConstView x, std::span<const LowRankPart>, ConstView y, View z);

// Where the gradients of a part go, in the accumulator type; absent ones are not computed.
struct LowRankGradient {
  View da, db;
};

// With d the part's rows and columns of dz [N, out] and v = scale * d B:  db = d^T u,  da = v^T x,  and, if dx is
// there, dx = sum over parts of v A (0 in rows of no part). Only dx reads a,
// only db reads u, only da reads x, and db does not read b: what nothing reads may be absent.
using LowRankBackward = void(Stream&, ConstView x, std::span<const LowRankPart>, ConstView dz,
                             std::span<const LowRankGradient>, View dx);

namespace cpu {
LowRankForward low_rank_forward;
LowRankBackward low_rank_backward;
}  // namespace cpu

namespace gpu {
LowRankForward low_rank_forward;
LowRankBackward low_rank_backward;
}  // namespace gpu

}  // namespace cambium
