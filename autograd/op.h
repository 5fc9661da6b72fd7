// What every op includes.
#pragma once

#include "autograd/tape.h"
#include "core/kernels/elementwise.h"
#include "core/tensor.h"

namespace cambium {

// An uninitialised tensor in x's accumulator type, beside x.
inline Tensor wide_like(const Tensor& x, const Shape& shape) {
  return Tensor::empty(shape, accumulator(x.dtype()), x.device());
}

// The gradient of something added to every row.
inline Tensor column_sum_of(const Tensor& dy) {
  Tensor sum = wide_like(dy, {dy.cols()});
  DISPATCH(column_sum, dy.stream())(dy.stream(), dy, false, sum);
  return sum;
}

}  // namespace cambium
