#include "cuda/cudnn_attention.h"

#include <cfloat>

#include "core/memory.h"
#include "cuda/attention_library.h"
#include "cuda/capacity.h"
#include "cuda/check.h"

namespace cambium::gpu {
namespace {

constexpr cudnnDataType_t kType = CUDNN_DATA_BFLOAT16;

// What both graphs are made of. The library recognises attention by the very operations, in this order.
class AttentionGraph {
 public:
  AttentionGraph(const CudnnApi& api, const CudnnAttentionSizes& sizes)
      : graph(api), n(sizes), lengths(graph.memory(kLengths, {n.sequences, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_INT32)),
        scale(graph.value(kScale)), lowest(graph.value(kLowest)) {}

  // [sequences, heads, longest, columns] where each sequence's rows lie; transposed: the last two the other way round.
  CudnnTensor operand(CudnnAttentionTensor number, int64_t heads, int64_t columns, cudnnDataType_t type,
                      bool transposed = false) {
    const int64_t row = n.stride[size_t(number - 1)];
    std::array<int64_t, 4> size{n.sequences, heads, n.longest, columns}, stride{n.longest * row, columns, row, 1};
    if (transposed) std::swap(size[2], size[3]), std::swap(stride[2], stride[3]);
    return graph.memory(number, size, stride, type, offsets(number));
  }
  CudnnTensor offsets(CudnnAttentionTensor number) {
    CudnnTensor& t = offsets_[number];
    if (!t) t = graph.memory(number + kOffset, {n.sequences + 1, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_INT32);
    return t;
  }

  CudnnTensor scores() { return graph.between({n.sequences, n.heads, n.longest, n.longest}); }
  CudnnTensor of_rows() { return graph.between({n.sequences, n.heads, n.longest, 1}); }

  // scale q k^T
  CudnnTensor scaled(const CudnnTensor& q, const CudnnTensor& kt) {
    return graph.pointwise(CUDNN_POINTWISE_MUL, graph.matmul(q, kt, scores(), {.rows = lengths, .columns = lengths}),
                           scale);
  }
  // x where query and key exist and, if causal, the key is not behind the query; else the lowest number.
  CudnnTensor masked(CudnnTensor x) {
    const auto below = [&](int axis) { return graph.compare(CUDNN_POINTWISE_CMP_LT, graph.index(x, axis), lengths); };
    const CudnnTensor row = below(2), column = below(3);
    x = graph.select(graph.compare(CUDNN_POINTWISE_LOGICAL_AND, row, column), x, lowest);
    if (!n.causal) return x;
    const CudnnTensor query = graph.index(x, 2), key = graph.index(x, 3);
    return graph.select(graph.compare(CUDNN_POINTWISE_CMP_GE, query, key), x, lowest);
  }
  // Scores [.., query, key] as [.., key, query].
  CudnnTensor transposed(const CudnnTensor& x) {
    const int64_t area = n.longest * n.longest;
    return graph.reshape(
        x, graph.between({n.sequences, n.heads, n.longest, n.longest}, {n.heads * area, area, 1, n.longest}, kType));
  }

  CudnnGraph graph;
  const CudnnAttentionSizes n;
  const CudnnTensor lengths, scale, lowest;

 private:
  std::map<int64_t, CudnnTensor> offsets_;
};

}  // namespace

CudnnPlan plan_attention_forward(const CudnnApi& api, const CudnnDescriptor& device, const CudnnAttentionSizes& sizes) {
  AttentionGraph a(api, sizes);
  CudnnGraph& g = a.graph;
  const CudnnTensor q = a.operand(kQuery, sizes.heads, sizes.head_size, kType);
  const CudnnTensor kt = a.operand(kKey, sizes.kv_heads, sizes.head_size, kType, true);
  const CudnnTensor v = a.operand(kValue, sizes.kv_heads, sizes.head_size, kType);
  const CudnnTensor out = a.operand(kOut, sizes.heads, sizes.head_size, kType);
  const CudnnTensor lse = a.operand(kLse, sizes.heads, 1, CUDNN_DATA_FLOAT);

  const CudnnTensor s = a.masked(a.scaled(q, kt));
  const CudnnTensor most = g.reduce(CUDNN_REDUCE_TENSOR_MAX, s, a.of_rows());
  const CudnnTensor e = g.pointwise(CUDNN_POINTWISE_EXP, g.pointwise(CUDNN_POINTWISE_SUB, s, most));
  const CudnnTensor sum = g.reduce(CUDNN_REDUCE_TENSOR_ADD, e, a.of_rows());
  g.pointwise(CUDNN_POINTWISE_ADD, most, g.pointwise(CUDNN_POINTWISE_LOG, sum), lse);
  const CudnnTensor p = g.pointwise(CUDNN_POINTWISE_DIV, e, sum, g.between(e.size, kType));
  g.matmul(p, v, out, {.rows = a.lengths, .inner = a.lengths});
  return g.plan(device, true);
}

// With P = exp(score - lse) and delta = sum of dout . out over a row:
//
//   dv = P^T dout,  dP = dout v^T,  dS = scale P (dP - delta),  dk = dS^T q,  dq = dS k
//
// dq is the product's own result: with a float32 sum beside it the library would add by atomics, in any order, and
// not say so.
CudnnPlan plan_attention_backward(const CudnnApi& api, const CudnnDescriptor& device,
                                  const CudnnAttentionSizes& sizes) {
  AttentionGraph a(api, sizes);
  CudnnGraph& g = a.graph;
  const int64_t S = sizes.longest, H = sizes.heads, d = sizes.head_size;
  const CudnnTensor q = a.operand(kQuery, H, d, kType), out = a.operand(kOut, H, d, kType),
                    dout = a.operand(kOutGradient, H, d, kType);
  const CudnnTensor kt = a.operand(kKey, sizes.kv_heads, d, kType, true),
                    vt = a.operand(kValue, sizes.kv_heads, d, kType, true);
  const CudnnTensor lse = a.operand(kLse, H, 1, CUDNN_DATA_FLOAT);
  const CudnnTensor dq = a.operand(kQueryGradient, H, d, kType);
  const CudnnTensor dk = a.operand(kKeyGradient, sizes.kv_heads, d, kType),
                    dv = a.operand(kValueGradient, sizes.kv_heads, d, kType);

  const CudnnTensor delta = g.memory(kRowSums, {sizes.sequences, H, S, 1}, {H * S, S, 1, 1}, CUDNN_DATA_FLOAT);
  // Without the factor, a place for dropout's, the library takes the graph and computes dk and dq wrongly.
  const CudnnTensor sums = g.reduce(CUDNN_REDUCE_TENSOR_ADD, g.pointwise(CUDNN_POINTWISE_MUL, dout, out), a.of_rows());
  g.pointwise(CUDNN_POINTWISE_MUL, sums, g.value(kOne), delta);

  const CudnnTensor p =
      g.pointwise(CUDNN_POINTWISE_EXP, a.masked(g.pointwise(CUDNN_POINTWISE_SUB, a.scaled(q, kt), lse)));
  // A product whose result the query heads of a group share.
  const auto by_key = [&](const CudnnTensor& x, const CudnnTensor& y, const CudnnTensor& to) {
    const CudnnGraph::Extent extent{.rows = a.lengths, .inner = a.lengths};
    if (H == sizes.kv_heads) return void(g.matmul(a.transposed(x), y, to, extent));
    g.reduce(CUDNN_REDUCE_TENSOR_ADD,
             g.matmul(a.transposed(x), y, g.between({sizes.sequences, H, S, d}, kType), extent), to);
  };
  by_key(p, dout, dv);
  const CudnnTensor dp = g.matmul(dout, vt, a.scores(), {.rows = a.lengths, .columns = a.lengths});
  const CudnnTensor ds = g.pointwise(
      CUDNN_POINTWISE_MUL, g.pointwise(CUDNN_POINTWISE_MUL, g.pointwise(CUDNN_POINTWISE_SUB, dp, delta), p), a.scale);
  by_key(ds, q, dk);
  const CudnnTensor k =
      g.reshape(kt, g.between({sizes.sequences, sizes.kv_heads, S, d},
                              {kt.stride[0], kt.stride[1], kt.stride[3], kt.stride[2]}, kType, a.offsets(kKey)));
  g.matmul(ds, k, dq, {.rows = a.lengths, .inner = a.lengths});
  return g.plan(device, true);
}

// ---- plans in use ----

CudnnAttentionSizes capacity_of(const AttentionConfig& c, const AttentionInputs& in, ConstView out, ConstView lse) {
  const Capacity capacity = capacity_for(in.queries.count, std::max<int64_t>(in.queries.longest, 1));
  return {.sequences = capacity.sequences,
          .longest = capacity.rows,
          .heads = c.heads,
          .kv_heads = c.kv_heads,
          .head_size = c.head_size,
          .causal = c.causal,
          .stride = {in.q.stride, in.k.stride, in.v.stride, out.stride, lse.stride}};
}

const CudnnPlan* CudnnAttention::find(Plans& plans, Make make, Device device, const CudnnAttentionSizes& sizes) {
  std::lock_guard lock(mutex_);
  const auto [found, is_new] = plans.try_emplace({device.index, sizes});
  if (is_new) try {
      CUDA_CHECK(cudaSetDevice(device.index));
      const int32_t index = device.index;
      CudnnDescriptor properties(api_, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
      properties.set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &index).finalize();
      found->second.emplace(make(api_, properties, sizes));
      const int64_t bytes = found->second->workspace();
      if (bytes > kMostWorkspace) {
        found->second.reset();
        refusal_ = text("it wants ", bytes >> 20, " MiB of workspace for ", sizes.sequences, " sequences of ",
                        sizes.longest, " tokens");
      }
    } catch (const CudnnRefusal& refusal) {
      refusal_ = refusal.what();
    } catch (...) {
      plans.erase(found);
      throw;
    }
  return found->second ? &*found->second : nullptr;
}

std::string CudnnAttention::last_refusal() const {
  std::lock_guard lock(mutex_);
  return refusal_;
}

cudnnHandle_t CudnnAttention::handle(Stream& stream) {
  std::lock_guard lock(mutex_);
  const auto check = [&](cudnnStatus_t status, const char* call) {
    CHECK(status == CUDNN_STATUS_SUCCESS, call, ": ", api_.error_string(status));
  };
  CUDA_CHECK(cudaSetDevice(stream.device.index));
  cudnnHandle_t& h = handles_[stream.device.index];
  if (!h) check(api_.create(&h), "cudnnCreate");
  check(api_.set_stream(h, static_cast<cudaStream_t>(stream.handle)), "cudnnSetStream");
  return h;
}

void CudnnAttention::run(Stream& stream, const CudnnPlan& plan, const AttentionConfig& c, const AttentionInputs& in,
                         const CudnnAttentionSizes& sizes, CudnnPointers pointers) {
  const size_t operands = pointers.count(kQueryGradient) ? sizes.stride.size() : size_t(kLse);
  const int64_t capacity = sizes.sequences, room = capacity + 4;  // each list begins at a multiple of 16 bytes
  const Scratch<int32_t> layout(stream, capacity + int64_t(operands) * room);
  int32_t *const lengths = layout.data(), *const offset = lengths + capacity;
  attention_layout(stream, in.queries, capacity, std::span(sizes.stride).first(operands), lengths, offset);
  for (size_t o = 0; o < operands; ++o) pointers[kQuery + int64_t(o) + kOffset] = offset + int64_t(o) * room;
  const float scale = c.scale, lowest = -FLT_MAX;
  pointers[kLengths] = lengths, pointers[kScale] = &scale, pointers[kLowest] = &lowest;
  const Scratch<char> workspace(stream, plan.workspace());
  plan.execute(handle(stream), pointers, workspace.data());
}

bool CudnnAttention::forward(Stream& stream, const AttentionConfig& c, const AttentionInputs& in, View out, View lse) {
  const CudnnAttentionSizes sizes = capacity_of(c, in, out, lse);
  const CudnnPlan* plan = find(forward_, plan_attention_forward, stream.device, sizes);
  if (!plan) return false;
  run(stream, *plan, c, in, sizes,
      {{kQuery, in.q.pointer}, {kKey, in.k.pointer}, {kValue, in.v.pointer}, {kOut, out.pointer}, {kLse, lse.pointer}});
  return true;
}

bool CudnnAttention::backward(Stream& stream, const AttentionConfig& c, const AttentionInputs& in, ConstView dout,
                              ConstView out, ConstView lse, const AttentionGradients& g) {
  CudnnAttentionSizes sizes = capacity_of(c, in, out, lse);
  sizes.stride[5] = dout.stride, sizes.stride[6] = g.dq.stride, sizes.stride[7] = g.dk.stride,
  sizes.stride[8] = g.dv.stride;
  const CudnnPlan* plan = find(backward_, plan_attention_backward, stream.device, sizes);
  if (!plan) return false;
  const float one = 1;
  const Scratch<float> row_sums(stream, sizes.sequences * sizes.heads * sizes.longest);
  run(stream, *plan, c, in, sizes,
      {{kQuery, in.q.pointer},
       {kKey, in.k.pointer},
       {kValue, in.v.pointer},
       {kOut, out.pointer},
       {kLse, lse.pointer},
       {kOutGradient, dout.pointer},
       {kQueryGradient, g.dq.pointer},
       {kKeyGradient, g.dk.pointer},
       {kValueGradient, g.dv.pointer},
       {kOne, &one},
       {kRowSums, row_sums.data()}});
  return true;
}

namespace {

// Null: there is no library; never destroyed, as its plans may outlive the driver.
CudnnAttention* library(std::string& why) {
  const CudnnApi* api = cudnn_library(&why);
  static CudnnAttention* attention = api ? new CudnnAttention(*api) : nullptr;
  return attention;
}

}  // namespace

bool knows_cudnn() { return true; }

bool cudnn_attention_forward(Stream& stream, const AttentionConfig& c, const AttentionInputs& in, View out, View lse,
                             std::string& why) {
  CudnnAttention* attention = library(why);
  if (attention && attention->forward(stream, c, in, out, lse)) return true;
  if (attention) why = attention->last_refusal();
  return false;
}

bool cudnn_attention_backward(Stream& stream, const AttentionConfig& c, const AttentionInputs& in, ConstView dout,
                              ConstView out, ConstView lse, const AttentionGradients& g, std::string& why) {
  CudnnAttention* attention = library(why);
  if (attention && attention->backward(stream, c, in, dout, out, lse, g)) return true;
  if (attention) why = attention->last_refusal();
  return false;
}

}  // namespace cambium::gpu
