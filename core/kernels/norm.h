// Signatures of the normalisation kernels, and their mathematics. Rows are tokens: x is [N, D].
// x and y have one type; weights, statistics and weight gradients have its accumulator type.
#pragma once

#include "core/view.h"

namespace cambium {

// y[n,d] = x[n,d] * rstd[n] * weight[d],   rstd[n] = 1 / sqrt(mean_d x[n,d]^2 + epsilon)
// weight [D], rstd [N].                                               (Zhang & Sennrich 2019, eq. 4)
using RmsNormForward = void(Stream&, ConstView x, ConstView weight, float epsilon, View y, View rstd);

// With u[n,d] = dy[n,d] * weight[d]:
// dx[n,d] = rstd[n] * (u[n,d] - x[n,d] * rstd[n]^2 * mean_d(u[n,d] * x[n,d]))
using RmsNormBackwardInput = void(Stream&, ConstView dy, ConstView x, ConstView weight, ConstView rstd, View dx);

// dweight[d] = sum_n dy[n,d] * x[n,d] * rstd[n]; rows in blocks of kRowsPerBlock, then blocks, in order.
using RmsNormBackwardWeight = void(Stream&, ConstView dy, ConstView x, ConstView rstd, View dweight);

// y[n,d] = h[n,d] * weight[d] + bias[d],   h[n,d] = (x[n,d] - mean[n]) * rstd[n],
// mean[n] = mean_d x[n,d],   rstd[n] = 1 / sqrt(mean_d (x[n,d] - mean[n])^2 + epsilon)
// bias [D] may be absent.                                                 (Ba, Kiros & Hinton 2016)
using LayerNormForward = void(Stream&, ConstView x, ConstView weight, ConstView bias, float epsilon, View y, View mean,
                              View rstd);

// With u[n,d] = dy[n,d] * weight[d]:  dx = rstd * (u - mean_d(u) - h * mean_d(u * h))
using LayerNormBackwardInput = void(Stream&, ConstView dy, ConstView x, ConstView weight, ConstView mean,
                                    ConstView rstd, View dx);

// dweight[d] = sum_n dy[n,d] * h[n,d], in the same order. (The bias gradient is a column sum of dy.)
using LayerNormBackwardWeight = void(Stream&, ConstView dy, ConstView x, ConstView mean, ConstView rstd, View dweight);

namespace cpu {
RmsNormForward rms_norm_forward;
RmsNormBackwardInput rms_norm_backward_input;
RmsNormBackwardWeight rms_norm_backward_weight;
LayerNormForward layer_norm_forward;
LayerNormBackwardInput layer_norm_backward_input;
LayerNormBackwardWeight layer_norm_backward_weight;
}  // namespace cpu

namespace gpu {
RmsNormForward rms_norm_forward;
RmsNormBackwardInput rms_norm_backward_input;
RmsNormBackwardWeight rms_norm_backward_weight;
LayerNormForward layer_norm_forward;
LayerNormBackwardInput layer_norm_backward_input;
LayerNormBackwardWeight layer_norm_backward_weight;
}  // namespace gpu

}  // namespace cambium
