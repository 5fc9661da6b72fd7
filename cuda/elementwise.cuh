// Kernels whose elements do not know each other: one thread moves W neighbouring elements of a row.
#pragma once

#include "cuda/device.cuh"

namespace cambium::gpu {

// Op has `template <int W> __device__ void at(int64_t n, int64_t d) const`: does columns [d, d + W)
// of row n.
template <int W, class Op>
__global__ void elementwise_kernel(Op op, int64_t rows, int64_t cols) {
  const int64_t d = (int64_t(blockIdx.x) * blockDim.x + threadIdx.x) * W;
  if (d >= cols) return;
  for (int64_t n = blockIdx.y * blockDim.y + threadIdx.y; n < rows; n += gridDim.y * blockDim.y)
    op.template at<W>(n, d);
}

// W elements at a time if `vector`, else one.
template <int W, class Op>
void for_each_element(LaunchSite site, int64_t rows, int64_t cols, bool vector, const Op& op) {
  if (rows == 0 || cols == 0) return;
  const Plane plane(rows, vector ? cols / W : cols);
  if (vector) launch(elementwise_kernel<W, Op>, plane.grid, plane.block, 0, site, op, rows, cols);
  else launch(elementwise_kernel<1, Op>, plane.grid, plane.block, 0, site, op, rows, cols);
}

}  // namespace cambium::gpu
