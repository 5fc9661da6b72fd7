// Singular values of small matrices, in double.
#pragma once

#include "core/tensor.h"

namespace cambium {

// M = U diag(s) V^T with the largest singular values first: u [rows, k], s [k], v [cols, k], k = min(rows, cols).
struct Svd {
  Tensor u, s, v;
};

// Of a matrix [rows, cols], by one-sided Jacobi rotations (Hestenes 1958; Demmel & Veselic 1992): as exact as the numbers
// allow, in O(rows cols k) a sweep; meant for k of at most a few hundred.
Svd svd(const Tensor& matrix);
// Of the product B A of b [rows, R] and a [R, cols], without making it: k = min(R, rows, cols).
Svd svd_of_product(const Tensor& b, const Tensor& a);

}  // namespace cambium
