// Attention as cuDNN's fused graphs: forward with the log-sum-exp of each row, and a backward that repeats its bits.
#pragma once

#include <map>
#include <mutex>
#include <optional>

#include "core/kernels/attention.h"
#include "cuda/cudnn_graph.h"

namespace cambium::gpu {

// What a plan is made for. Sequences and lengths are capacities: a plan serves every batch that fits into them.
struct CudnnAttentionSizes {
  int64_t sequences, longest;
  int64_t heads, kv_heads, head_size;
  bool causal;
  // Elements from row to row of q, k, v, out, lse, and for backward dout, dq, dk, dv.
  std::array<int64_t, 9> stride;
  auto operator<=>(const CudnnAttentionSizes&) const = default;
};

// Numbers of the graphs' tensors; an operand's offsets have its number plus kOffset.
enum CudnnAttentionTensor : int64_t {
  kQuery = 1,
  kKey,
  kValue,
  kOut,
  kLse,
  kOutGradient,
  kQueryGradient,
  kKeyGradient,
  kValueGradient,
  kOffset = 10,
  kLengths = 20,
  kScale,
  kLowest,
  kOne,
  kRowSums,
};

CudnnPlan plan_attention_forward(const CudnnApi&, const CudnnDescriptor& device, const CudnnAttentionSizes&);
CudnnPlan plan_attention_backward(const CudnnApi&, const CudnnDescriptor& device, const CudnnAttentionSizes&);

// Sequences and rows that plans are made for: the batch's, rounded up, so that few plans serve all batches.
CudnnAttentionSizes capacity_of(const AttentionConfig&, const AttentionInputs&, ConstView out, ConstView lse);

class CudnnAttention {
 public:
  explicit CudnnAttention(const CudnnApi& api) : api_(api) {}

  // False: the library refuses (or wants more workspace than kMostWorkspace); nothing was done.
  bool forward(Stream&, const AttentionConfig&, const AttentionInputs&, View out, View lse);
  bool backward(Stream&, const AttentionConfig&, const AttentionInputs&, ConstView dout, ConstView out, ConstView lse,
                const AttentionGradients&);
  std::string last_refusal() const;

  static constexpr int64_t kMostWorkspace = int64_t(1) << 30;

 private:
  using Make = CudnnPlan (*)(const CudnnApi&, const CudnnDescriptor&, const CudnnAttentionSizes&);
  using Plans = std::map<std::pair<int, CudnnAttentionSizes>, std::optional<CudnnPlan>>;
  // Null: refused, now or before.
  const CudnnPlan* find(Plans&, Make, Device, const CudnnAttentionSizes&);
  void run(Stream&, const CudnnPlan&, const AttentionConfig&, const AttentionInputs&, const CudnnAttentionSizes&,
           CudnnPointers);
  cudnnHandle_t handle(Stream&);

  const CudnnApi& api_;
  mutable std::mutex mutex_;
  Plans forward_, backward_;
  std::map<int, cudnnHandle_t> handles_;  // of each device; never destroyed: the driver may be gone first
  std::string refusal_;
};

}  // namespace cambium::gpu
