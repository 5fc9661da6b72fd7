// Cross entropy of rows of logits on the GPU. One block a row: one pass for log sum exp, one for
// the gradient.
#include "core/kernels/cross_entropy.h"

#include "cuda/log_sum_exp.cuh"

namespace cambium::gpu {
namespace {

template <bool kVector, int kWarps>
__global__ void __launch_bounds__(32 * kWarps, 1)
    cross_entropy_kernel(CrossEntropyConfig config, Rows<float> logits, const int32_t* label, float* loss, int V) {
  float* x = logits[blockIdx.x];
  const int target = label[blockIdx.x];
  const float at_target = x[target];
  float total;
  const LogSum log_sum = log_sum_exp<kVector, kWarps, true>(x, V, &total);
  const float lse = log_sum.log();
  const float s = config.label_smoothing, z = config.z_loss, scale = config.gradient_scale;
  if (threadIdx.x == 0) {
    const float smoothed = s > 0 ? s * (total / V) : 0.f;
    loss[blockIdx.x] = lse - (1 - s) * at_target - smoothed + z * lse * lse;
  }
  if (!config.gradient) return;
  const float factor = scale * (1 + 2 * z * lse) / log_sum.sum, shared = scale * s / V, pull = scale * (1 - s);
  for_row_pieces<kVector>(x, V, [&](int d, float(&v)[kRowPiece]) {
#pragma unroll
    for (int i = 0; i < kRowPiece; ++i) {
      v[i] = expf(v[i] - log_sum.most) * factor - shared;
      if (d + i == target) v[i] -= pull;
    }
    store_row_piece<kVector>(x, V, d, v);
  });
}

}  // namespace

void cross_entropy_rows(Stream& stream, const CrossEntropyConfig& config, View logits, ConstView label, View loss) {
  if (logits.rows() == 0) return;
  for_logits(logits.cols(), rows_ready(logits), [&](auto vector, auto warps) {
    launch(cross_entropy_kernel<vector, warps>, dim3(unsigned(logits.rows())), dim3(32 * warps), 0, stream, config,
           rows_of<float>(logits), label.data<int32_t>(), loss.data<float>(), int(logits.cols()));
  });
}

}  // namespace cambium::gpu
