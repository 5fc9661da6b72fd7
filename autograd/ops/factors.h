// Learned factors of columns and rows on the tape: IA3's vectors, DoRA's magnitudes, the scalings of VeRA and AdaLoRA.
#pragma once

#include "autograd/op.h"
#include "core/kernels/factors.h"

namespace cambium {

// In columns [begin, end) of x [N, D]: y = f x + (1 - f) c, other columns are x's. f [end - begin], c of its size (about
// which x is scaled; absent: zero), both in the accumulator type.
//   dx = f dy,  df[d] = sum_n dy (x - c),  dc = (1 - f) (column sum of dy)
struct ScaleColumns {
  int64_t begin = 0, end = -1;  // -1: the last

  enum Input { kX, kFactor, kCentre };
  struct Saved {
    Tensor x, factor, centre;
  };

  Tensor forward(Saved& saved, Needs<3> needs, const Tensor& x, const Tensor& factor, const Tensor& centre) const {
    const int64_t last = end < 0 ? x.cols() : end;
    CHECK(begin >= 0 && last <= x.cols() && factor.size() == last - begin && (!centre || centre.size() == last - begin),
          "scale_columns: x ", x.shape(), ", columns ", begin, " to ", last, ", factor ", factor.shape(), ", centre ",
          centre.shape());
    const bool all = last - begin == x.cols();
    Tensor y = all ? Tensor::like(x) : x.clone();
    DISPATCH(scale_columns, x.stream())
    (x.stream(), x.view().columns(begin, last), factor, view_of(centre), y.view().columns(begin, last));
    if (needs[kFactor]) saved.x = x, saved.centre = centre;
    if (needs[kX] || needs[kCentre]) saved.factor = factor;
    return y;
  }

  void backward(const Saved& saved, Tensor dy, Grads<3> grads) const {
    const int64_t last = end < 0 ? dy.cols() : end;
    Stream& stream = dy.stream();
    const View part = dy.view().columns(begin, last);
    if (grads.needs(kFactor)) {
      Tensor df = wide_like(dy, {last - begin});
      DISPATCH(column_dots, stream)(stream, part, saved.x.view().columns(begin, last), view_of(saved.centre), df);
      grads.add(kFactor, std::move(df));
    }
    if (grads.needs(kCentre)) {
      Tensor dc = wide_like(dy, {last - begin}), scaled = Tensor::like(dc);
      DISPATCH(column_sum, stream)(stream, part, false, dc);
      DISPATCH(scale_columns, stream)(stream, dc, saved.factor, {}, scaled);
      DISPATCH(add_scaled, stream)(stream, dc, scaled, -1, dc);
      grads.add(kCentre, std::move(dc));
    }
    if (!grads.needs(kX)) return;
    Tensor dx = dy.unique() ? dy : dy.clone();
    DISPATCH(scale_columns, stream)(stream, part, saved.factor, {}, dx.view().columns(begin, last));
    grads.add(kX, std::move(dx));
  }

 private:
  static ConstView view_of(const Tensor& t) { return t ? ConstView(t) : ConstView(); }
};

// y[n,d] = f[n] x[n,d]; x [N, D], f [N] in the accumulator type.
//   dx = f dy,  df[n] = sum_d dy x
struct ScaleRows {
  enum Input { kX, kFactor };
  struct Saved {
    Tensor x, factor;
  };

  Tensor forward(Saved& saved, Needs<2> needs, const Tensor& x, const Tensor& factor) const {
    CHECK(factor.size() == x.rows(), "scale_rows: x ", x.shape(), ", factor ", factor.shape());
    Tensor y = Tensor::like(x);
    DISPATCH(scale_rows, x.stream())(x.stream(), x, factor, y);
    if (needs[kFactor]) saved.x = x;
    if (needs[kX]) saved.factor = factor;
    return y;
  }

  void backward(const Saved& saved, Tensor dy, Grads<2> grads) const {
    if (grads.needs(kFactor)) {
      Tensor df = wide_like(dy, {dy.rows()});
      DISPATCH(row_dots, dy.stream())(dy.stream(), dy, saved.x, df);
      grads.add(kFactor, std::move(df));
    }
    if (!grads.needs(kX)) return;
    Tensor dx = dy.unique() ? dy : Tensor::like(dy);
    DISPATCH(scale_rows, dy.stream())(dy.stream(), dy, saved.factor, dx);
    grads.add(kX, std::move(dx));
  }
};

// y = m / sqrt(square), element by element; m and square [D], square a constant.
struct OverRoot {
  Tensor square;

  enum Input { kX };
  struct Saved {};

  Tensor forward(Saved&, Needs<1>, const Tensor& m) const { return divided(m); }
  void backward(const Saved&, Tensor dy, Grads<1> grads) const { grads.add(kX, divided(dy)); }

 private:
  Tensor divided(const Tensor& a) const {
    CHECK(a.size() == square.size(), "over_root: ", a.shape(), " over ", square.shape());
    Tensor y = Tensor::like(a);
    DISPATCH(divide_by_root, a.stream())(a.stream(), a, square, y);
    return y;
  }
};

}  // namespace cambium
