// Cross entropy of rows of logits on the CPU. A row is one task; its sums run in fixed lanes.
#include "core/kernels/cross_entropy.h"

#include <limits>

#include "core/cpu/math.h"
#include "core/cpu/parallel.h"

namespace cambium::cpu {

void cross_entropy_rows(Stream&, const CrossEntropyConfig& config, View logits, ConstView label, View loss) {
  const int64_t V = logits.cols();
  const int32_t* target = label.data<int32_t>();
  visit_wide(logits.dtype(), [&]<class F>(Type<F>) {
    const F smoothing = config.label_smoothing, z = config.z_loss, scale = config.gradient_scale;
    parallel_rows(logits.rows(), [&](int64_t r) {
      F* x = logits.row<F>(r);
      const int32_t t = target[r];
      const F at_target = x[t];
      const F most = lane_max(V, -std::numeric_limits<F>::infinity(), [&](int64_t v) { return x[v]; });
      const F mean = smoothing > 0 ? lane_sum(V, [&](int64_t v) { return x[v]; }) / V : F(0);
      F sum;
      if (config.gradient) {  // keep the exponentials: they become the gradient
        for (int64_t v = 0; v < V; ++v) x[v] = exp(x[v] - most);
        sum = lane_sum(V, [&](int64_t v) { return x[v]; });
      } else {
        sum = lane_sum(V, [&](int64_t v) { return exp(x[v] - most); });
      }
      const F lse = most + std::log(sum);
      loss.data<F>()[r] = lse - (1 - smoothing) * at_target - smoothing * mean + z * lse * lse;
      if (!config.gradient) return;
      const F factor = scale * (1 + 2 * z * lse) / sum, shared = scale * smoothing / V;
      for (int64_t v = 0; v < V; ++v) x[v] = x[v] * factor - shared;
      x[t] -= scale * (1 - smoothing);
    });
  });
}

}  // namespace cambium::cpu
