// The low-rank updates of LoRA on the tape, for several projections of one input at once.
#pragma once

#include "autograd/op.h"
#include "core/kernels/low_rank.h"

namespace cambium {

// z = y, plus scale * (x A_i^T) B_i^T in the rows and columns of each part i (core/kernels/low_rank.h; Hu et al. 2022,
// eq. 3). x [N, in], y [N, out]; A_i [rank, in], B_i [column_end - column_begin, rank] in the accumulator type.
struct LowRank {
  static constexpr size_t kMost = 3;
  struct Part {
    float scale = 1;
    int64_t rank = 0;                          // 0: this part is not there, and has no A and B
    int64_t column_begin = 0, column_end = 0;  // of y
    int64_t row_begin = 0, row_end = -1;       // of x and y; -1: to the last
  };
  std::array<Part, kMost> parts;

  enum Input { kX, kY, kA, kB };  // kA + 2 i and kB + 2 i for part i
  struct Saved {
    Tensor x, u, a0, b0, a1, b1, a2, b2;  // u: of all parts, one after the other

    std::array<const Tensor*, kMost> a() const { return {&a0, &a1, &a2}; }
    std::array<const Tensor*, kMost> b() const { return {&b0, &b1, &b2}; }
  };

  Tensor forward(Saved& saved, Needs<8> needs, const Tensor& x, const Tensor& y, const Tensor& a0, const Tensor& b0,
                 const Tensor& a1, const Tensor& b1, const Tensor& a2, const Tensor& b2) const {
    CHECK(x.rows() == y.rows() && x.dtype() == y.dtype(), "low_rank: x ", x.shape(), ", y ", y.shape());
    Saved all{x, wide_like(x, {scalars_of_u(x.rows())}), a0, b0, a1, b1, a2, b2};
    const std::vector<LowRankPart> list = described(all, x.rows());
    for (size_t i = 0; i < list.size(); ++i) check(list[i], x, y);
    Tensor z = Tensor::like(y);
    DISPATCH(low_rank_forward, x.stream())(x.stream(), x, list, y, z);

    const bool any_a = needs[kA] || needs[kA + 2] || needs[kA + 4], any_b = needs[kB] || needs[kB + 2] || needs[kB + 4];
    saved = std::move(all);
    if (!any_a) saved.x = {};
    if (!any_b) saved.u = {};
    if (!needs[kX]) saved.a0 = saved.a1 = saved.a2 = {};
    Tensor* b[] = {&saved.b0, &saved.b1, &saved.b2};
    for (size_t i = 0; i < kMost; ++i)
      if (!needs[kX] && !needs[kA + 2 * i]) *b[i] = {};
    return z;
  }

  void backward(const Saved& saved, Tensor dy, Grads<8> grads) const {
    const std::vector<LowRankPart> list = described(saved, dy.rows());
    std::vector<Tensor> da, db;
    std::vector<LowRankGradient> gradients;
    const int64_t in = saved.x ? saved.x.cols() : saved.a0 ? saved.a0.cols() : 0;
    for (size_t i = 0; i < list.size(); ++i) {
      const LowRankPart& p = list[i];
      da.push_back(grads.needs(int(kA + 2 * i)) ? wide_like(dy, {p.rank, in}) : Tensor());
      db.push_back(grads.needs(int(kB + 2 * i)) ? wide_like(dy, {p.column_end - p.column_begin, p.rank}) : Tensor());
      gradients.push_back({da.back(), db.back()});
    }
    Tensor dx = grads.needs(kX) ? Tensor::empty({dy.rows(), in}, dy.dtype(), dy.device()) : Tensor();
    DISPATCH(low_rank_backward, dy.stream())(dy.stream(), saved.x, list, dy, gradients, dx);
    for (size_t i = 0; i < list.size(); ++i) {
      if (da[i]) grads.add(int(kA + 2 * i), std::move(da[i]));
      if (db[i]) grads.add(int(kB + 2 * i), std::move(db[i]));
    }
    if (dx) grads.add(kX, std::move(dx));
    if (grads.needs(kY)) grads.add(kY, std::move(dy));
  }

 private:
  int64_t rows_of(const Part& p, int64_t N) const { return (p.row_end < 0 ? N : p.row_end) - p.row_begin; }
  int64_t scalars_of_u(int64_t N) const {
    int64_t size = 0;
    for (const Part& p : parts) size += rows_of(p, N) * p.rank;
    return size;
  }

  std::vector<LowRankPart> described(const Saved& s, int64_t N) const {
    std::vector<LowRankPart> list;
    int64_t begin = 0;
    for (size_t i = 0; i < kMost; ++i) {
      const Part& p = parts[i];
      if (p.rank == 0) continue;
      const int64_t rows = rows_of(p, N), size = rows * p.rank;
      list.push_back({.a = *s.a()[i],
                      .b = *s.b()[i],
                      .u = s.u ? View(s.u.rows(begin, begin + size).reshape({rows, p.rank})) : View(),
                      .scale = p.scale,
                      .rank = p.rank,
                      .row_begin = p.row_begin,
                      .row_end = p.row_begin + rows,
                      .column_begin = p.column_begin,
                      .column_end = p.column_end});
      begin += size;
    }
    return list;
  }

  void check(const LowRankPart& p, const Tensor& x, const Tensor& y) const {
    CHECK(p.a.rows() == p.rank && p.b.cols() == p.rank && p.a.cols() == x.cols() &&
              p.b.rows() == p.column_end - p.column_begin && p.row_begin >= 0 && p.row_end >= p.row_begin &&
              p.row_end <= x.rows() && p.column_begin >= 0 && p.column_end <= y.cols(),
          "low_rank: x ", x.shape(), ", y ", y.shape(), ", A [", p.a.rows(), ",", p.a.cols(), "], B [", p.b.rows(), ",",
          p.b.cols(), "], rank ", p.rank, ", rows ", p.row_begin, " to ", p.row_end, ", columns ", p.column_begin,
          " to ", p.column_end);
  }
};

}  // namespace cambium
