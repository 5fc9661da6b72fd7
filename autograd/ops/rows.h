// Moving whole rows on the tape: embedding look-up, positions, prompts between tokens, labelled rows.
#pragma once

#include <vector>

#include "autograd/op.h"
#include "core/kernels/rows.h"

namespace cambium {

// Which row of a source each row of a result is; below 0: none.
class RowMap {
 public:
  RowMap() = default;
  // Throws if an index is not below source_rows. Row `fixed` of the source gets no gradient.
  RowMap(std::vector<int32_t> index, int64_t source_rows, Device, int32_t fixed = -1);

  int64_t rows() const { return int64_t(host_.size()); }
  int64_t source_rows() const { return source_rows_; }
  const Tensor& index() const { return index_; }

  // The result's rows grouped by source row, on the device; made when first asked for.
  struct Groups {
    Tensor row, begin, target;
    int64_t count = 0;
    RowGroups view() const { return {row, begin, target, count}; }
  };
  const Groups& groups() const;

 private:
  std::vector<int32_t> host_;
  int64_t source_rows_ = 0;
  int32_t fixed_ = -1;
  Tensor index_;
  mutable std::shared_ptr<const Groups> groups_;
};

// y[n] = base[n] + scale * x[map[n]], rows without a source giving base alone (or zeros). x [R, D], base [N, D] or
// absent. Rows of x may be used several times; their gradients are added in the order of n.
struct TakeRows {
  std::shared_ptr<const RowMap> map;
  float scale = 1;
  DType dtype = DType::f32;   // of y, where there is no base
  bool is_parameter = false;  // the gradient of x is kept in the accumulator type

  enum Input { kX, kBase };
  struct Saved {};

  Tensor forward(Saved&, Needs<2>, const Tensor& x, const Tensor& base) const {
    CHECK(x.rows() == map->source_rows() && (!base || (base.rows() == map->rows() && base.cols() == x.cols())),
          "take_rows: x ", x.shape(), ", base ", base.shape(), ", map of ", map->rows(), " from ", map->source_rows());
    Tensor y = base ? base.clone() : Tensor::empty({map->rows(), x.cols()}, dtype, x.device());
    DISPATCH(gather_rows, x.stream())(x.stream(), x, map->index(), scale, bool(base), y);
    return y;
  }

  void backward(const Saved&, Tensor dy, Grads<2> grads) const {
    if (grads.needs(kX)) {
      Tensor dx = Tensor::zeros({map->source_rows(), dy.cols()}, accumulator(dy.dtype()), dy.device());
      DISPATCH(sum_row_groups, dy.stream())(dy.stream(), dy, map->groups().view(), scale, dx);
      grads.add(kX, is_parameter ? dx : dx.to(dy.dtype()));
    }
    if (grads.needs(kBase)) grads.add(kBase, std::move(dy));
  }
};

// The rows of up to eight inputs one after the other; absent ones have none. Types and columns are those of the first.
struct Join {
  static constexpr size_t kMost = 8;
  struct Saved {
    std::array<int64_t, kMost> rows{};
  };

  Tensor forward(Saved& saved, Needs<kMost>, const Tensor& a, const Tensor& b, const Tensor& c, const Tensor& d,
                 const Tensor& e, const Tensor& f, const Tensor& g, const Tensor& h) const {
    const std::array<const Tensor*, kMost> parts{&a, &b, &c, &d, &e, &f, &g, &h};
    int64_t all = 0;
    for (size_t i = 0; i < kMost; ++i) {
      const Tensor& x = *parts[i];
      if (!x) continue;
      CHECK(x.cols() == a.cols() && x.dtype() == a.dtype(), "join: ", a.shape(), " ", name_of(a.dtype()), " and ",
            x.shape(), " ", name_of(x.dtype()));
      all += saved.rows[i] = x.rows();
    }
    Tensor y = Tensor::empty({all, a.cols()}, a.dtype(), a.device());
    for (int64_t i = 0, begin = 0; i < int64_t(kMost); begin += saved.rows[size_t(i)], ++i)
      if (const Tensor& x = *parts[size_t(i)]; x && x.rows() > 0)
        y.rows(begin, begin + x.rows()).copy_from(x.reshape({x.rows(), x.cols()}));
    return y;
  }
  void backward(const Saved& saved, Tensor dy, Grads<kMost> grads) const {
    for (int64_t i = 0, begin = 0; i < int64_t(kMost); begin += saved.rows[size_t(i)], ++i)
      if (grads.needs(int(i))) grads.add(int(i), dy.rows(begin, begin + saved.rows[size_t(i)]));
  }
};

// x itself. The gradients of all that read the result are added up before they join those of x's other readers, as
// those of a slice are: (r + (a + b)), not ((r + a) + b).
struct Identity {
  enum Input { kX };
  struct Saved {};

  Tensor forward(Saved&, Needs<1>, const Tensor& x) const { return x; }
  void backward(const Saved&, Tensor dy, Grads<1> grads) const { grads.add(kX, std::move(dy)); }
};

// The elements [begin, end) of the first dimension.
struct Slice {
  int64_t begin = 0, end = 0;

  enum Input { kX };
  struct Saved {
    Shape shape;
  };

  Tensor forward(Saved& saved, Needs<1>, const Tensor& x) const {
    saved.shape = x.shape();
    return x.rows(begin, end);
  }
  void backward(const Saved& saved, Tensor dy, Grads<1> grads) const { grads.add_rows(kX, begin, dy, saved.shape); }
};

}  // namespace cambium
