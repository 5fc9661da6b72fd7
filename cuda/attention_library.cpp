#include "cuda/attention_library.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/progress.h"
#include "core/random.h"
#include "core/tensor.h"
#include "cuda/alignment.h"

namespace cambium::gpu {
namespace {

std::atomic<bool> cudnn_chosen = false, refusal_said = false;

// One line for the whole run: every layer of every step would say the same.
void say_refusal(const std::string& why) {
  if (!refusal_said.exchange(true)) Progress::say("note: cuDNN leaves some attention to our own kernels: " + why);
}

// Its tensor cores read 16 bytes at a time, and offsets are 32 bits.
bool readable(ConstView v) { return v && is_aligned(v) && v.rows() * v.stride < INT32_MAX; }

bool same(const Segments& a, const Segments& b) {
  return a.begin.pointer == b.begin.pointer && a.length.pointer == b.length.pointer && a.count == b.count;
}

}  // namespace

const char* beyond_cudnn(const AttentionConfig& c, const AttentionInputs& in, ConstView out, ConstView lse) {
  if (in.q.dtype() != DType::bf16) return "it multiplies bfloat16";
  if (c.head_size % 8 != 0 || c.head_size > 256) return "it has heads of multiples of 8 up to 256";
  if (c.dropout.probability > 0) return "its dropout has random numbers of its own";
  if (in.prefix_k) return "it has no prefixes beside the keys";
  if (in.bias) return "its graphs have no bias by distance";
  // Causal is then the same from either end, and no query is without a key.
  if (!in.queries || !same(in.queries, in.keys)) return "it gets self-attention alone";
  if (!readable(in.q) || !readable(in.k) || !readable(in.v) || !readable(out))
    return "it reads rows of 16 aligned bytes, fewer than 2^31 elements";
  if (lse.rows() * lse.stride >= INT32_MAX) return "it reads fewer than 2^31 elements";
  return nullptr;
}

const char* beyond_cudnn(const AttentionConfig& c, const AttentionInputs& in, ConstView dout, ConstView out,
                         ConstView lse, const AttentionGradients& g) {
  if (!g.dq || !g.dk || !g.dv) return "it computes all three gradients or none";
  for (const View& v : {View(dout), g.dq, g.dk, g.dv})
    if (!readable(v)) return "it reads rows of 16 aligned bytes, fewer than 2^31 elements";
  return beyond_cudnn(c, in, out, lse);
}

bool library_attention_forward(Stream& stream, const AttentionConfig& c, const AttentionInputs& in, View out,
                               View lse) {
  if (!cudnn_chosen || beyond_cudnn(c, in, out, lse)) return false;
  std::string why;
  if (cudnn_attention_forward(stream, c, in, out, lse, why)) return true;
  say_refusal(why);
  return false;
}

bool library_attention_backward(Stream& stream, const AttentionConfig& c, const AttentionInputs& in, ConstView dout,
                                ConstView out, ConstView lse, const AttentionGradients& g) {
  if (!cudnn_chosen || beyond_cudnn(c, in, dout, out, lse, g)) return false;
  std::string why;
  if (cudnn_attention_backward(stream, c, in, dout, out, lse, g, why)) return true;
  say_refusal(why);
  return false;
}

// ---- the decision ----

namespace {

// A small ragged batch of self-attention, as a model has it: query, key and value in one matrix.
class Trial {
 public:
  Trial(Device device, const AttentionConfig& shape) : config_(shape), stream_(current_stream(device)) {
    const std::vector<int32_t> length{37, 1, 130}, begin{0, 37, 38};
    constexpr int64_t kRows = 168;
    begin_ = Tensor::of(begin, device), length_ = Tensor::of(length, device);
    width_ = int64_t(shape.heads) * shape.head_size, kv_width_ = int64_t(shape.kv_heads) * shape.head_size;
    qkv_ = numbers({kRows, width_ + 2 * kv_width_}, 1), dout_ = numbers({kRows, width_}, 2);
    config_.dropout = {};
  }

  // out and the gradients of query, key and value; `how`: attention_forward and _backward, or cuDNN's.
  std::vector<Tensor> run(const auto& forward, const auto& backward) const {
    const Tensor out = Tensor::like(dout_), dqkv = Tensor::like(qkv_);
    const Tensor lse = Tensor::empty({out.rows(), config_.heads}, DType::f32, out.device());
    const View d = dqkv;
    const AttentionGradients g{.dq = d.columns(0, width_),
                               .dk = d.columns(width_, width_ + kv_width_),
                               .dv = d.columns(width_ + kv_width_, d.cols())};
    if (!forward(stream_, config_, inputs(), View(out), View(lse)) ||
        !backward(stream_, config_, inputs(), ConstView(dout_), ConstView(out), ConstView(lse), g))
      return {};
    return {out, dqkv, lse};
  }

 private:
  Tensor numbers(const Shape& shape, uint64_t seed) const {
    std::vector<float> values(size_t(shape.size()));
    const RandomKey key = random_key(seed, "attention");
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = 2 * unit_float(philox(key, uint32_t(i), 0, 0, 0).word[0]) - 1;
    return Tensor::of(std::span<const float>(values), shape).to(DType::bf16).to(stream_.device);
  }
  AttentionInputs inputs() const {
    const ConstView all = qkv_;
    const Segments s{begin_, length_, begin_.size(), 130};
    return {.q = all.columns(0, width_),
            .k = all.columns(width_, width_ + kv_width_),
            .v = all.columns(width_ + kv_width_, all.cols()),
            .queries = s,
            .keys = s};
  }

  AttentionConfig config_;
  Stream& stream_;
  int64_t width_, kv_width_;
  Tensor qkv_, dout_, begin_, length_;
};

// The largest difference, as a share of the largest value.
double difference(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to(Device::cpu()).to(DType::f32), y = b.to(Device::cpu()).to(DType::f32);
  double worst = 0, largest = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    const double error = std::abs(double(x.data<float>()[i]) - double(y.data<float>()[i]));
    worst = error <= worst ? worst : error;  // NaN counts
    largest = std::max(largest, std::abs(double(y.data<float>()[i])));
  }
  return worst / largest;
}

// Empty: cuDNN does what our kernels do; else why it is not used.
std::string objection(Device device, const AttentionConfig& shape) {
  constexpr double kAllowed = 0.02;  // some roundings to bfloat16, of 0.004 each
  std::string why;
  const auto own_forward = [](auto&&... a) { return attention_forward(a...), true; };
  const auto own_backward = [](auto&&... a) { return attention_backward(a...), true; };
  const auto forward = [&](auto&&... a) { return cudnn_attention_forward(a..., why); };
  const auto backward = [&](auto&&... a) { return cudnn_attention_backward(a..., why); };
  const Trial trial(device, shape);
  const std::vector<Tensor> seen = trial.run(forward, backward);
  if (seen.empty()) return why;
  const std::vector<Tensor> expected = trial.run(own_forward, own_backward), again = trial.run(forward, backward);
  for (size_t i = 0; i < seen.size(); ++i) {
    const double share = difference(seen[i], expected[i]);
    if (!(share <= kAllowed))
      return text("its ", i == 1 ? "gradients differ" : "results differ", " from ours by ", share, " of the largest");
    if (difference(seen[i], again[i]) != 0) return "its results change from run to run";
  }
  return {};
}

}  // namespace

void prefer_own_attention() { cudnn_chosen = false; }

bool prefer_cudnn_attention(Device device, std::span<const AttentionConfig> shapes) {
  prefer_own_attention();  // the trial asks both by name
  std::string why;
  for (const AttentionConfig& shape : shapes)
    if (why.empty()) why = objection(device, shape);
  cudnn_chosen = why.empty();
  Progress::say(cudnn_chosen ? std::string("attention: cuDNN's, where it can; ours for the rest")
                             : "note: attention stays with our own kernels: cuDNN: " + why);
  return cudnn_chosen;
}

}  // namespace cambium::gpu
