// What generation does with logits, on the CPU. A row is one task.
#include "core/kernels/generation.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "core/cpu/math.h"
#include "core/cpu/parallel.h"

namespace cambium::cpu {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// The k best columns of a row, best first; equal values by ascending column.
std::vector<int32_t> best_columns(const float* x, int64_t V, int64_t k) {
  std::vector<int32_t> best;  // a heap whose front is the worst of the best
  const auto better = [&](int32_t a, int32_t b) { return x[a] > x[b] || (x[a] == x[b] && a < b); };
  best.reserve(size_t(k) + 1);
  for (int64_t v = 0; v < V; ++v) {
    if (int64_t(best.size()) == k && !(x[v] > x[best.front()])) continue;
    best.push_back(int32_t(v));
    std::push_heap(best.begin(), best.end(), better);
    if (int64_t(best.size()) > k) std::pop_heap(best.begin(), best.end(), better), best.pop_back();
  }
  std::sort_heap(best.begin(), best.end(), better);
  return best;
}

float log_sum_exp(const float* x, int64_t V) {
  const float most = lane_max(V, kNever, [&](int64_t v) { return x[v]; });
  return most + std::log(lane_sum(V, [&](int64_t v) { return exp(x[v] - most); }));
}

}  // namespace

void mask_logits(Stream&, ConstView row, ConstView column, View logits) {
  for (int64_t i = 0; i < row.size(); ++i)
    logits.row<float>(row.data<int32_t>()[i])[column.data<int32_t>()[i]] = kNever;
}

void log_softmax(Stream&, ConstView x, View y) {
  parallel_rows(x.rows(), [&](int64_t r) {
    const float* xr = x.row<float>(r);
    float* yr = y.row<float>(r);
    const float lse = log_sum_exp(xr, x.cols());
    for (int64_t v = 0; v < x.cols(); ++v) yr[v] = xr[v] - lse;
  });
}

void top_k(Stream&, ConstView x, int k, View value, View index) {
  parallel_rows(x.rows(), [&](int64_t r) {
    const auto best = best_columns(x.row<float>(r), x.cols(), k);
    for (size_t i = 0; i < best.size(); ++i) {
      value.row<float>(r)[i] = x.row<float>(r)[best[i]];
      index.row<int32_t>(r)[i] = best[i];
    }
  });
}

void sample_tokens(Stream&, const SamplingConfig& config, ConstView logits, ConstView uniform, View token) {
  const int64_t V = logits.cols();
  const int64_t keep = config.top_k > 0 ? std::min<int64_t>(config.top_k, V) : V;
  parallel_rows(logits.rows(), [&](int64_t r) {
    const float* x = logits.row<float>(r);
    const std::vector<int32_t> order = best_columns(x, V, keep);
    std::vector<float> probability(order.size());
    float total = 0;
    for (size_t i = 0; i < order.size(); ++i)
      total += probability[i] = exp((x[order[i]] - x[order[0]]) / config.temperature);
    size_t count = 0;  // the smallest set of largest probabilities that reaches top_p
    float nucleus = 0;
    while (count < order.size() && (count == 0 || nucleus < config.top_p * total)) nucleus += probability[count++];
    const float goal = uniform.data<float>()[r] * nucleus;
    float sum = 0;
    size_t chosen = 0;
    while (chosen + 1 < count && (sum += probability[chosen]) <= goal) ++chosen;
    token.data<int32_t>()[r] = order[chosen];
  });
}

}  // namespace cambium::cpu
