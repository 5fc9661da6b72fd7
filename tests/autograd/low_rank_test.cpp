// The rows of the low-rank op in the table of op tests.
#include "autograd/ops/low_rank.h"

#include "tests/support/op_case.h"

namespace cambium::testing {
namespace {

// Adds scale * (x A^T) B^T to the part's rows and columns of z.
void add_part(const LowRank::Part& p, const Array& x, const Array& a, const Array& b, Array& z) {
  const int64_t end = p.row_end < 0 ? x.rows() : p.row_end;
  for (int64_t n = p.row_begin; n < end; ++n)
    for (int64_t c = 0; c < b.rows(); ++c)
      for (int64_t j = 0; j < p.rank; ++j) {
        double u = 0;
        for (int64_t k = 0; k < x.cols(); ++k) u += x(n, k) * a(j, k);
        z(n, p.column_begin + c) += double(p.scale) * u * b(c, j);
      }
}

auto definition_of(const LowRank& op) {
  return [op](const Array& x, const Array& y, const Array& a0, const Array& b0, const Array& a1, const Array& b1,
              const Array& a2, const Array& b2) {
    Array z = y;
    const Array *a[] = {&a0, &a1, &a2}, *b[] = {&b0, &b1, &b2};
    for (size_t i = 0; i < LowRank::kMost; ++i)
      if (op.parts[i].rank) add_part(op.parts[i], x, *a[i], *b[i], z);
    return z;
  };
}

const Shape kNone{};

TEST(Ops, LowRankOfOneProjection) {
  const LowRank op{{LowRank::Part{.scale = 0.5f, .rank = 3, .column_begin = 2, .column_end = 8}}};
  check_op(OpCase{
      .name = "low_rank",
      .op = op,
      .definition = definition_of(op),
      .shapes = {{{5, 9}, {5, 10}, {3, 9}, {6, 3}, kNone, kNone, kNone, kNone},
                 {{70, 40}, {70, 8}, {3, 40}, {6, 3}, kNone, kNone, kNone, kNone},
                 {{1, 1}, {1, 8}, {3, 1}, {6, 3}, kNone, kNone, kNone, kNone},
                 {{0, 4}, {0, 9}, {3, 4}, {6, 3}, kNone, kNone, kNone, kNone}},
      .tolerance = {.f32 = 4e-6, .bf16 = 3e-2},
      .wide_inputs = {2, 3},
  });
}

// Ranks and rows that are read sixteen bytes at a time.
TEST(Ops, LowRankOfAlignedRows) {
  for (const int64_t rank : {8, 12}) {
    const LowRank op{{LowRank::Part{.scale = 0.5f, .rank = rank, .column_begin = 8, .column_end = 24}}};
    check_op(OpCase{
        .name = "low_rank of aligned rows",
        .op = op,
        .definition = definition_of(op),
        .shapes = {{{9, 16}, {9, 32}, {rank, 16}, {16, rank}, kNone, kNone, kNone, kNone},
                   {{70, 264}, {70, 24}, {rank, 264}, {16, rank}, kNone, kNone, kNone, kNone}},
        .tolerance = {.f32 = 4e-6, .bf16 = 3e-2},
        .wide_inputs = {2, 3},
    });
  }
}

// Two that overlap, and one whose rank fills no tile; the rows of a mixed batch.
TEST(Ops, LowRankOfSeveralProjections) {
  const LowRank op{
      {LowRank::Part{.scale = 2, .rank = 4, .column_begin = 0, .column_end = 12},
       LowRank::Part{.scale = 0.5f, .rank = 2, .column_begin = 10, .column_end = 15, .row_begin = 1, .row_end = 3},
       LowRank::Part{.scale = 1, .rank = 17, .column_begin = 15, .column_end = 16, .row_begin = 2}}};
  check_op(OpCase{
      .name = "low_rank of three",
      .op = op,
      .definition = definition_of(op),
      .shapes = {{{5, 6}, {5, 16}, {4, 6}, {12, 4}, {2, 6}, {5, 2}, {17, 6}, {1, 17}}},
      .tolerance = {.f32 = 4e-6, .bf16 = 3e-2},
      .wide_inputs = {2, 3, 4, 5, 6, 7},
  });
}

}  // namespace
}  // namespace cambium::testing
