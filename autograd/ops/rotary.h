// Rotary position embedding on the tape.
#pragma once

#include "autograd/op.h"
#include "core/kernels/rotary.h"

namespace cambium {

// Rotates the first `heads` heads of each row of x [N, ..] by its position; core/kernels/rotary.h has the
// formula. position int32 [N], table [positions, R] in the accumulator type of x.
struct Rotate {
  int heads = 0, head_size = 0;
  Tensor position, table;

  enum Input { kX };
  struct Saved {};

  Tensor forward(Saved&, Needs<1>, const Tensor& x) const {
    CHECK(position.size() == x.rows() && int64_t(heads) * head_size <= x.cols() && table.cols() <= head_size,
          "rotary: x ", x.shape(), ", ", position.size(), " positions, ", heads, " heads of ", head_size);
    Tensor y = Tensor::like(x);
    DISPATCH(rotary, x.stream())(x.stream(), {heads, head_size, false}, x, position, table, y);
    return y;
  }

  void backward(const Saved&, Tensor dy, Grads<1> grads) const {
    Tensor dx = dy.unique() ? dy : Tensor::like(dy);
    DISPATCH(rotary, dy.stream())(dy.stream(), {heads, head_size, true}, dy, position, table, dx);
    grads.add(kX, std::move(dx));
  }
};

}  // namespace cambium
