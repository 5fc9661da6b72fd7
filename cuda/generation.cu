// What generation does with logits on the GPU. One block a row.
//
// Nothing is sorted. The order of a row (largest first, equal values by ascending column) is that
// of unique integers, and every question is the same one: after which element does a running sum of
// integer weights exceed a goal? Weights 1 give the k-th largest; probabilities in fixed point give
// the nucleus and the sample. The answer is found digit by digit from histograms of weights (radix
// selection); sums of integers are exact in any order, so atomics do no harm.
#include "core/kernels/generation.h"

#include "core/memory.h"
#include "cuda/elementwise.cuh"
#include "cuda/log_sum_exp.cuh"

namespace cambium::gpu {
namespace {

using Rank = unsigned long long;  // place in a row's order: the smaller, the earlier
using Weight = unsigned long long;

constexpr int kThreads = 1024;
constexpr int kDigitBits = 11, kBins = 1 << kDigitBits;
constexpr Rank kLast = ~Rank(0);
constexpr float kOne = 1099511627776.f;  // 2^40, probability 1 in fixed point

// The rank of value x in column v: its order-preserving bits, inverted, then the column in
// `column_bits`.
__device__ Rank rank_of(float x, int v, int column_bits) {
  const uint32_t bits = std::bit_cast<uint32_t>(x == 0 ? 0.f : x);  // -0 equals 0
  const uint32_t ascending = bits >> 31 ? ~bits : bits | 0x80000000u;
  return Rank(~ascending) << column_bits | Rank(v);
}
__device__ int column_of(Rank r, int column_bits) { return int(r & ((Rank(1) << column_bits) - 1)); }

// Shared memory of a descent. 64-bit atomics on shared memory are loops; two of 32 bits are not.
struct Histogram {
  unsigned low[kBins], high[kBins];      // sum of weights
  unsigned count[kBins], column[kBins];  // elements, and the sum of their columns
  Weight of_warp[kThreads / 32];
  Weight before;  // the answer's running sum without itself
  int bin;

  __device__ void clear() {
    for (int b = threadIdx.x; b < kBins; b += kThreads) low[b] = high[b] = count[b] = column[b] = 0;
    if (threadIdx.x == 0) bin = -1;
  }
  __device__ void add(int b, Weight w) {
    const unsigned mine = unsigned(w), old = atomicAdd(&low[b], mine);
    const unsigned carry = old + mine < old, upper = unsigned(w >> 32) + carry;
    if (upper) atomicAdd(&high[b], upper);
  }
  __device__ Weight weight(int b) const { return Weight(high[b]) << 32 | low[b]; }
};

// Where the running sum of weights first exceeds `goal`: h.bin, and the sum before it h.before.
// Unchanged if it nowhere does.
__device__ void find_bin(Histogram& h, Weight goal) {
  constexpr int kMine = kBins / kThreads;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, first = threadIdx.x * kMine;
  Weight mine = 0;
  for (int i = 0; i < kMine; ++i) mine += h.weight(first + i);
  Weight up_to = mine;
  for (int distance = 1; distance < 32; distance *= 2) {
    const Weight below = __shfl_up_sync(~0u, up_to, distance);
    if (lane >= distance) up_to += below;
  }
  if (lane == 31) h.of_warp[warp] = up_to;
  __syncthreads();
  Weight before = up_to - mine;
  for (int w = 0; w < warp; ++w) before += h.of_warp[w];
  if (before <= goal && goal < before + mine) {
    int b = first;
    while (goal >= before + h.weight(b)) before += h.weight(b++);
    h.bin = b;
    h.before = before;
  }
  __syncthreads();
}

// The first element in order, of those with rank <= last, after which the running sum of
// weight(x[v]) exceeds `goal`; `last` if there is none.
template <class WeightOf>
__device__ Rank descend(Histogram& h, const float* x, int V, int column_bits, Rank last, Weight goal,
                        const WeightOf& weight) {
  Rank prefix = 0, decided = 0;  // the answer's digits so far, and which bits these are
  for (int bits = 32 + column_bits; bits > 0;) {
    const int shift = max(0, bits - kDigitBits), bins = 1 << (bits - shift);
    __syncthreads();  // the last answers have been read
    h.clear();
    __syncthreads();
    for (int v = threadIdx.x; v < V; v += kThreads) {
      const Rank r = rank_of(x[v], v, column_bits);
      if ((r & decided) != prefix || r > last) continue;
      const int b = int(r >> shift) & (bins - 1);
      h.add(b, weight(x[v]));
      if (!decided) continue;  // hardly a bin has one element yet
      atomicAdd(&h.count[b], 1u);
      atomicAdd(&h.column[b], unsigned(v));
    }
    __syncthreads();
    find_bin(h, goal);
    if (h.bin < 0) return last;
    goal -= h.before;
    if (h.count[h.bin] == 1) {
      const int v = int(h.column[h.bin]);
      return rank_of(x[v], v, column_bits);
    }
    prefix |= Rank(h.bin) << shift;
    decided |= Rank(bins - 1) << shift;
    bits = shift;
  }
  return prefix;
}

struct MaskOp {
  const int32_t *row, *column;
  Rows<float> logits;
  template <int W>
  __device__ void at(int64_t, int64_t i) const {
    logits[row[i]][column[i]] = -INFINITY;
  }
};

template <bool kVector, int kWarps>
__global__ void __launch_bounds__(32 * kWarps) log_softmax_kernel(Rows<const float> x, Rows<float> y, int V) {
  const float* xr = x[blockIdx.x];
  const float lse = log_sum_exp<kVector, kWarps>(xr, V).log();
  for_row_pieces<kVector>(xr, V, [&](int d, float(&v)[kRowPiece]) {
#pragma unroll
    for (int i = 0; i < kRowPiece; ++i) v[i] -= lse;
    store_row_piece<kVector>(y[blockIdx.x], V, d, v);
  });
}

struct One {
  __device__ Weight operator()(float) const { return 1; }
};

// Chosen ranks in any order into chosen [R, k]; then each counts those before it, which is its
// place.
__global__ void __launch_bounds__(kThreads) top_k_kernel(Rows<const float> logits, int V, int column_bits, int k,
                                                         Rank* chosen, Rows<float> value, Rows<int32_t> index) {
  Histogram& h = *dynamic_shared<Histogram>();
  __shared__ unsigned count;
  const float* x = logits[blockIdx.x];
  chosen += int64_t(blockIdx.x) * k;
  const Rank last = k == V ? kLast : descend(h, x, V, column_bits, kLast, Weight(k - 1), One());
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  for (int v = threadIdx.x; v < V; v += kThreads) {
    const Rank r = rank_of(x[v], v, column_bits);
    if (r <= last) chosen[atomicAdd(&count, 1u)] = r;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < k; i += kThreads) {
    const Rank r = chosen[i];
    int place = 0;
    for (int j = 0; j < k; ++j) place += chosen[j] < r;
    const int column = column_of(r, column_bits);
    value[blockIdx.x][place] = x[column];
    index[blockIdx.x][place] = column;
  }
}

// The sum of weights of all elements with rank <= last, in every thread.
template <class WeightOf>
__device__ Weight sum_up_to(Histogram& h, const float* x, int V, int column_bits, Rank last, const WeightOf& weight) {
  __syncthreads();
  if (threadIdx.x == 0) h.low[0] = h.high[0] = 0;
  __syncthreads();
  Weight mine = 0;
  for (int v = threadIdx.x; v < V; v += kThreads)
    if (rank_of(x[v], v, column_bits) <= last) mine += weight(x[v]);
  h.add(0, mine);
  __syncthreads();
  return h.weight(0);
}

__global__ void __launch_bounds__(kThreads) sample_kernel(SamplingConfig config, Rows<const float> logits, int V,
                                                          int column_bits, const float* uniform, int32_t* token) {
  Histogram& h = *dynamic_shared<Histogram>();
  const float* x = logits[blockIdx.x];
  const Rank first = descend(h, x, V, column_bits, kLast, 0, One());
  const float most = x[column_of(first, column_bits)];
  const auto probability = [&](float value) {
    const float p = expf((value - most) / config.temperature);
    return p > 0 ? Weight(p * kOne) : Weight(0);
  };
  Rank last = kLast;
  if (config.top_k > 0 && config.top_k < V) last = descend(h, x, V, column_bits, last, Weight(config.top_k - 1), One());
  Weight total = sum_up_to(h, x, V, column_bits, last, probability);
  if (config.top_p < 1) {  // the smallest set whose sum is at least top_p of it
    const auto wanted = Weight(ceil(double(config.top_p) * double(total)));
    last = descend(h, x, V, column_bits, last, wanted > 0 ? wanted - 1 : 0, probability);
    total = sum_up_to(h, x, V, column_bits, last, probability);
  }
  const auto goal = Weight(double(uniform[blockIdx.x]) * double(total));
  const Rank chosen = descend(h, x, V, column_bits, last, goal, probability);
  // Without a total no probability was a number above 0.
  if (threadIdx.x == 0) token[blockIdx.x] = column_of(total == 0 || chosen == kLast ? first : chosen, column_bits);
}

int bits_for_columns(int64_t V) {
  int bits = 1;
  while (int64_t(1) << bits < V) ++bits;
  return bits;
}

}  // namespace

void mask_logits(Stream& stream, ConstView row, ConstView column, View logits) {
  for_each_element<1>(stream, 1, row.size(), false,
                      MaskOp{row.data<int32_t>(), column.data<int32_t>(), rows_of<float>(logits)});
}

void log_softmax(Stream& stream, ConstView x, View y) {
  for_logits(x.cols(), rows_ready(x, y), [&](auto vector, auto warps) {
    launch(log_softmax_kernel<vector, warps>, dim3(unsigned(x.rows())), dim3(32 * warps), 0, stream, rows_of<float>(x),
           rows_of<float>(y), int(x.cols()));
  });
}

void top_k(Stream& stream, ConstView x, int k, View value, View index) {
  const int V = int(x.cols());
  CHECK(k >= 1 && k <= V, "top_k: ", k, " of ", V);
  Scratch<Rank> chosen(stream, x.rows() * k);
  launch(top_k_kernel, dim3(unsigned(x.rows())), dim3(kThreads), sizeof(Histogram), stream, rows_of<float>(x), V,
         bits_for_columns(V), k, chosen.data(), rows_of<float>(value), rows_of<int32_t>(index));
}

void sample_tokens(Stream& stream, const SamplingConfig& config, ConstView logits, ConstView uniform, View token) {
  const int V = int(logits.cols());
  launch(sample_kernel, dim3(unsigned(logits.rows())), dim3(kThreads), sizeof(Histogram), stream, config,
         rows_of<float>(logits), V, bits_for_columns(V), uniform.data<float>(), token.data<int32_t>());
}

}  // namespace cambium::gpu
