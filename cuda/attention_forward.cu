// Attention forward on the GPU, in one pass over the keys (Dao et al. 2022, "FlashAttention",
// algorithm 1; Dao 2023, section 3.1): a block has a tile of queries of one head and goes through
// the keys tile by tile, with the largest score so far, the sum of exponentials below it, and the
// weighted sum of values. Segments of one query are decoding's (cuda/attention_decode.cu).
#include "cuda/attention.cuh"
#include "cuda/attention_decode.cuh"
#include "cuda/attention_library.h"

namespace cambium::gpu {
namespace {

template <bool kTensor, int kDepth>
struct ForwardSizes {
  // Warps of 16 queries, and keys of a tile: what fits into 163 KiB of shared memory and 255
  // registers.
  static constexpr int kWarps = !kTensor && kDepth > 128 ? 2 : 4;
  static constexpr int kQueries = 16 * kWarps;
  static constexpr int kKeys = !kTensor && kDepth > 64 ? 32 : 64;
  // At once on a multiprocessor. Left to itself the compiler squeezes small heads into 80 registers, and spills.
  static constexpr int kBlocks = kDepth > 128 ? 1 : kTensor&& kDepth <= 64 ? 4 : 3;
  using E = std::conditional_t<kTensor, bfloat16, float>;
  using Scores = ScoreTile<kQueries, kKeys>;
  static constexpr size_t kBytes = (kQueries + 2 * kKeys) * kTileStride<E, kDepth> * sizeof(E) + sizeof(Scores);
};

// The softmax of a thread's two rows as far as they have got.
struct RunningSoftmax {
  float most[2] = {-INFINITY, -INFINITY}, sum[2] = {};  // sum: this thread's share

  // Turns scores into exp(score - most) and adds them up; c, the sum of values so far, follows a
  // new largest score.
  template <int kScores, int kN>
  __device__ void add(float (&score)[kScores][4], float (&c)[kN][4]) {
    float largest[2] = {most[0], most[1]}, factor[2], base[2];
    for_each(score, [&](int half, int, float v) { largest[half] = fmaxf(largest[half], v); });
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      largest[half] = row_max(largest[half]);
      base[half] = largest[half] == -INFINITY ? 0.f : largest[half];  // nothing is seen yet
      factor[half] = exp2f(most[half] - base[half]);
      most[half] = largest[half];
      sum[half] *= factor[half];
    }
    for_each(score, [&](int half, int, float& v) {
      v = exp2f(v - base[half]);
      sum[half] += v;
    });
    for_each(c, [&](int half, int, float& v) { v *= factor[half]; });
  }
};

template <class T, bool kTensor, int kDepth, class Z = ForwardSizes<kTensor, kDepth>>
__global__ void __launch_bounds__(32 * Z::kWarps, Z::kBlocks)
    attention_forward_kernel(AttentionProblem<T> a, Rows<T> out, Rows<float> lse, int tiles, int shortest, bool pairs) {
  using E = typename Z::E;
  constexpr int kStride = kTileStride<E, kDepth>, kQueries = Z::kQueries, kKeys = Z::kKeys;
  const Sequence s(a, blockIdx.x / tiles);
  const int head = int(blockIdx.y), kv_head = head / (a.heads / a.kv_heads);
  // Causal: the last queries have the most to do, so they start first.
  const int first = (tiles - 1 - int(blockIdx.x) % tiles) * kQueries;
  if (first >= s.queries || s.queries < shortest) return;

  E* q = dynamic_shared<E>();
  E *k = q + kQueries * kStride, *v = k + kKeys * kStride;
  auto& scores = *reinterpret_cast<typename Z::Scores*>(v + kKeys * kStride);
  const int warp_row = int(threadIdx.x) / 32 * 16, row = warp_row + lane_of() / 4;
  int seen[2];
  for (int half = 0; half < 2; ++half) {
    const int i = first + row + 8 * half;
    seen[half] = i < s.queries ? s.visible(a.causal, i) : 0;
  }
  const float scale = a.scale * kLog2E;
  RunningSoftmax softmax;
  float c[kDepth / 8][4] = {};
  const int end = s.visible(a.causal, min(first + kQueries, s.queries) - 1);
  const bool works = first + warp_row < s.queries;
  const auto load_keys = [&](int begin) {
    if (begin < end) load_tile<kKeys, kDepth>(k, KeyRows<T>{a.k, a.prefix_k, s, begin, kv_head, a.head_size});
  };
  if (end > 0)
    load_tile<kQueries, kDepth>(q, head_rows(a.q, s.query_begin + first, s.queries - first, head, a.head_size));
  load_keys(0);
  // Values arrive while scores are computed, the next keys while values are added.
  for (int begin = 0; begin < end; begin += kKeys) {
    wait_for_tiles<E>();
    load_tile<kKeys, kDepth>(v, KeyRows<T>{a.v, a.prefix_v, s, begin, kv_head, a.head_size});
    scores.fill(a, s, head, first, begin);
    float p[kKeys / 8][4] = {};
    if (works) multiply_rows<kDepth>(q + warp_row * kStride, k, p);
    wait_for_tiles<E>();
    load_keys(begin + kKeys);
    if (!works) continue;
    for_each(p, [&](int half, int column, float& x) {
      x *= scale;
      if (a.bias.data && begin + column >= s.prefix) x += scores.bias_of(row + 8 * half, column);
      if (begin + column >= seen[half]) x = -INFINITY;
    });
    softmax.add(p, c);
    if (a.token.data)
      for_each(p, [&](int half, int column, float& x) {
        if (!scores.kept(row + 8 * half, begin + column)) x = 0;
      });
    multiply_columns<kStride>(p, v, c);
  }

  float factor[2];
  T* rows[2] = {};
  for (int half = 0; half < 2; ++half) {
    const int i = first + row + 8 * half;
    const float total = row_sum(softmax.sum[half]);
    factor[half] = total == 0 ? 0.f : a.keep_scale / total;
    if (i >= s.queries) continue;
    const int64_t n = s.query_begin + i;
    rows[half] = out[n] + head * a.head_size;
    if (lane_of() % 4 == 0) lse[n][head] = total == 0 ? -INFINITY : (softmax.most[half] + log2f(total)) * kLn2;
  }
  store_rows(c, factor, rows, 0, a.head_size, pairs);
}

// Rows of any type, in bytes.
struct ByteRows {
  char* data;
  int64_t stride, bytes;

  explicit ByteRows(const View& v)
      : data(static_cast<char*>(const_cast<void*>(v.pointer))), stride(v.stride * size_of(v.dtype())),
        bytes(v.cols() * size_of(v.dtype())) {}
};

constexpr int kGapRows = 8;  // of a block, a warp each

__global__ void zero_gaps_kernel(DeviceSegments segments, int64_t count, int64_t rows, ByteRows first,
                                 ByteRows second) {
  const int64_t n = int64_t(blockIdx.x) * kGapRows + threadIdx.x / 32;
  if (n >= rows) return;
  for (int64_t begin = 0; begin < count; begin += 32) {
    const int64_t s = begin + lane_of();
    const int64_t before = s < count ? n - segments.begin[s] : -1;
    if (__ballot_sync(~0u, before >= 0 && before < segments.length[s])) return;
  }
  const auto zero = [&](const ByteRows& m) {
    for (int64_t b = 2 * lane_of(); b < m.bytes; b += 64) *reinterpret_cast<uint16_t*>(m.data + n * m.stride + b) = 0;
  };
  zero(first);
  zero(second);
}

template <class T>
void flash_forward(Stream& stream, const AttentionInputs& in, const AttentionProblem<T>& problem, int shortest,
                   View out, View lse) {
  for_variant<T>(problem.head_size, [&](auto tensor, auto depth) {
    using Z = ForwardSizes<tensor, depth>;
    const int64_t tiles = ceil_div(in.queries.longest, Z::kQueries);
    launch(attention_forward_kernel<T, tensor, depth>,
           dim3(unsigned(in.queries.count * tiles), unsigned(problem.heads)), dim3(32 * Z::kWarps), Z::kBytes, stream,
           problem, rows_of<T>(out), rows_of<float>(lse), int(tiles), shortest, pairs_ready(out, problem.head_size));
  });
}

}  // namespace

void zero_gaps(LaunchSite site, const Segments& s, const View& first, const View& second) {
  const int64_t rows = first ? first.rows() : second.rows();
  launch(zero_gaps_kernel, dim3(unsigned(ceil_div(rows, kGapRows))), dim3(32 * kGapRows), 0, site, device_segments(s),
         s.count, rows, ByteRows(first), ByteRows(second));
}

void attention_forward(Stream& stream, const AttentionConfig& config, const AttentionInputs& in, View out, View lse) {
  visit_gpu(in.q.dtype(), [&]<class T>(Type<T>) {
    const AttentionProblem<T> problem = problem_of<T>(config, in);
    zero_gaps(stream, in.queries, out, lse);
    if (!in.queries || library_attention_forward(stream, config, in, out, lse)) return;
    // Which kernel a sequence gets depends on its own length only.
    const bool decodes = !problem.token.data;
    if (decodes) attention_decode<T>(stream, in, problem, out, lse);
    if (in.queries.longest > 1 || !decodes) flash_forward(stream, in, problem, decodes ? 2 : 1, out, lse);
  });
}

}  // namespace cambium::gpu
