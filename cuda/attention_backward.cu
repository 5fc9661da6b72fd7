// Attention backward on the GPU (Dao 2023, "FlashAttention-2", algorithm 2), in two passes over the
// tiles of scores instead of atomics: one by query gives dq and the bias's gradient, one by key
// gives dk and dv. With P = exp(score - lse), Z the dropout (0 or 1 / (1 - p)) and delta = dout .
// out:
//
//   dv = (P Z)^T dout,  dP = Z dout v^T,  dS = P (dP - delta),  dq = scale dS k,  dk = scale dS^T q
#include "cuda/attention.cuh"
#include "cuda/attention_library.h"

namespace cambium::gpu {
namespace {

// Blocks that share a multiprocessor: with more the compiler would have too few registers.
constexpr int kBlocksAtOnce = 2;

template <bool kTensor, int kDepth>
struct BackwardSizes {
  // Warps of 16 rows that stay (queries, or keys), and rows of a tile that pass by.
  static constexpr int kWarps = !kTensor && kDepth > 128 ? 2 : 4;
  static constexpr int kStay = 16 * kWarps, kPass = kDepth > 64 ? 32 : 64;
  // Columns of dk and dv that a block sums: more do not fit into its registers.
  static constexpr int kColumns = kDepth > 128 ? 128 : kDepth;
  using E = std::conditional_t<kTensor, bfloat16, float>;
  static constexpr int kStride = kTileStride<E, kDepth>;
  static constexpr size_t kTiles = 2 * (kStay + kPass) * kStride * sizeof(E);
};

template <class T>
struct BackwardProblem {
  AttentionProblem<T> forward;
  HeadMatrix<const T> dout;
  Rows<const float> lse;
  const float* delta;  // [N, heads]
};

// delta[n, h] = dout[n, h] . out[n, h], a warp each.
template <class T>
__global__ void attention_delta_kernel(Rows<const T> dout, Rows<const T> out, float* delta, int64_t count, int heads,
                                       int head_size) {
  const int64_t x = int64_t(blockIdx.x) * 8 + threadIdx.x / 32, n = x / heads;
  if (x >= count) return;
  const int64_t column = x % heads * head_size;
  float sum = 0;
  for (int d = lane_of(); d < head_size; d += 32) sum += float(dout[n][column + d]) * float(out[n][column + d]);
  sum = warp_sum(sum);
  if (lane_of() == 0) delta[x] = sum;
}

// What turns a score and the product dout . v into P Z and dS.
struct RowState {
  float lse = INFINITY, delta = 0;  // lse times log2(e); infinite where nothing is seen: P = 0

  template <class T>
  __device__ void read(const BackwardProblem<T>& b, const Sequence& s, int i, int head) {
    if (i >= s.queries) return;
    const int64_t n = s.query_begin + i;
    const float log_sum = b.lse[n][head];
    if (log_sum > -INFINITY) lse = log_sum * kLog2E;
    if (log_sum != log_sum) lse = log_sum;
    delta = b.delta[n * b.forward.heads + head];
  }
};

template <class T, class Scores>
struct Gradient {
  const AttentionProblem<T>& a;
  const Scores& scores;
  int query, key, prefix;  // numbers of the tile's first query and key

  // score: q . k, becomes P Z; product: dout . v, becomes dS. i, j: place in the tile.
  __device__ void apply(int i, int j, bool seen, const RowState& row, float& score, float& product) const {
    float x = score * (a.scale * kLog2E);
    if (a.bias.data && key + j >= prefix) x += scores.bias_of(i, j);
    const float p = seen ? exp2f(x - row.lse) : 0.f;
    const float keep = !a.token.data ? 1.f : scores.kept(i, key + j) ? a.keep_scale : 0.f;
    score = p * keep;
    product = p * (product * keep - row.delta);
  }
};

// ---- by query: dq, and the bias's gradient ----

// The gradient of the bias, a sum for each bucket of each tile of queries: [S, tiles, heads,
// buckets].
struct BiasPartial {
  float* sum;  // null: not wanted
  int buckets;
};

// Adds a tile of dS, by diagonal (which is by distance), then by bucket; each sum in order.
template <int kQueries, int kKeys, class T>
__device__ void add_bias_gradient(const AttentionProblem<T>& a, const Sequence& s, float* dscore, int query, int key,
                                  float* sum, int buckets) {
  constexpr int kDiagonals = kQueries + kKeys - 1;
  float* diagonal = dscore + kQueries * (kKeys + 1);
  for (int x = int(threadIdx.x); x < kDiagonals; x += int(blockDim.x)) {
    float total = 0;
    for (int i = 0; i < kQueries; ++i) {
      const int j = x - (kQueries - 1) + i;
      if (j >= max(0, s.prefix - key) && j < kKeys) total += dscore[i * (kKeys + 1) + j];
    }
    diagonal[x] = total;
  }
  __syncthreads();
  for (int b = int(threadIdx.x); b < buckets; b += int(blockDim.x))
    for (int x = 0; x < kDiagonals; ++x) {
      const int distance = key + x - (kQueries - 1) - s.own_key(query);
      const int place = min(max(distance, -a.range), a.range) + a.range;
      if (a.bucket[place] == b) sum[b] += diagonal[x];
    }
}

template <class T, bool kTensor, int kDepth, class Z = BackwardSizes<kTensor, kDepth>>
__global__ void __launch_bounds__(32 * Z::kWarps, kBlocksAtOnce)
    attention_backward_query_kernel(BackwardProblem<T> b, Rows<T> dq, BiasPartial bias, int tiles, bool pairs) {
  using E = typename Z::E;
  constexpr int kStride = Z::kStride, kQueries = Z::kStay, kKeys = Z::kPass;
  using Scores = ScoreTile<kQueries, kKeys>;
  const AttentionProblem<T>& a = b.forward;
  const Sequence s(a, blockIdx.x / tiles);
  const int head = int(blockIdx.y), kv_head = head / (a.heads / a.kv_heads);
  const int first = (tiles - 1 - int(blockIdx.x) % tiles) * kQueries;
  if (first >= s.queries) return;

  E* q = dynamic_shared<E>();
  E *dout = q + kQueries * kStride, *k = dout + kQueries * kStride, *v = k + kKeys * kStride;
  auto& scores = *reinterpret_cast<Scores*>(v + kKeys * kStride);
  float* dscore = reinterpret_cast<float*>(&scores + 1);
  const int rows = s.queries - first;
  const int64_t n = s.query_begin + first;
  float* bias_sum = nullptr;
  if (bias.sum) {
    bias_sum = bias.sum + (int64_t(blockIdx.x / tiles * tiles + first / kQueries) * a.heads + head) * bias.buckets;
    for (int x = int(threadIdx.x); x < bias.buckets; x += int(blockDim.x)) bias_sum[x] = 0;
  }

  const int warp_row = int(threadIdx.x) / 32 * 16, row = warp_row + lane_of() / 4;
  int seen[2];
  RowState state[2];
  for (int half = 0; half < 2; ++half) {
    const int i = first + row + 8 * half;
    state[half].read(b, s, i, head);
    seen[half] = i < s.queries ? s.visible(a.causal, i) : 0;
  }
  float c[kDepth / 8][4] = {};
  const int end = s.visible(a.causal, min(first + kQueries, s.queries) - 1);
  const auto load_keys = [&](int begin) {
    if (begin < end) load_tile<kKeys, kDepth>(k, KeyRows<T>{a.k, a.prefix_k, s, begin, kv_head, a.head_size});
  };
  const auto load_values = [&](int begin) {
    if (begin >= end) return;
    load_tile<kKeys, kDepth>(v, KeyRows<T>{a.v, a.prefix_v, s, begin, kv_head, a.head_size});
    scores.fill(a, s, head, first, begin);
  };
  if (end > 0) {
    load_tile<kQueries, kDepth>(q, head_rows(a.q, n, rows, head, a.head_size));
    load_tile<kQueries, kDepth>(dout, head_rows(b.dout, n, rows, head, a.head_size));
  }
  load_keys(0);
  load_values(0);
  for (int begin = 0; begin < end; begin += kKeys) {
    wait_for_tiles<E>();
    float p[kKeys / 8][4] = {}, ds[kKeys / 8][4] = {};
    multiply_rows<kDepth>(q + warp_row * kStride, k, p);
    multiply_rows<kDepth>(dout + warp_row * kStride, v, ds);
    const Gradient<T, Scores> gradient{a, scores, first, begin, s.prefix};
    for_each(ds, p, [&](int half, int column, float& product, float& score) {
      gradient.apply(row + 8 * half, column, begin + column < seen[half], state[half], score, product);
    });
    __syncthreads();
    load_values(begin + kKeys);
    multiply_columns<kStride>(ds, k, c);
    if (bias_sum)
      for_each(ds, [&](int half, int column, float x) { dscore[(row + 8 * half) * (kKeys + 1) + column] = x; });
    __syncthreads();
    load_keys(begin + kKeys);
    if (bias_sum) add_bias_gradient<kQueries, kKeys>(a, s, dscore, first, begin, bias_sum, bias.buckets);
  }
  if (!dq.data) return;
  const float factor[2] = {a.scale, a.scale};
  T* to[2] = {};
  for (int half = 0; half < 2; ++half)
    if (first + row + 8 * half < s.queries) to[half] = dq[n + row + 8 * half] + head * a.head_size;
  store_rows(c, factor, to, 0, a.head_size, pairs);
}

// ---- by key: dk and dv ----

// Where a sequence's gradients of keys (or values) go: the prefix's to partial [S, longest,
// kv_heads * head_size], to be summed over sequences. Null: not wanted.
template <class T>
struct KeyGradient {
  Rows<T> own;
  float* prefix;
  bool pairs;
};

template <class T>
struct KeyGradients {
  KeyGradient<T> k, v;
  int longest;  // rows of a prefix
  __device__ bool wants_own() const { return k.own.data || v.own.data; }
  __device__ bool wants_prefix() const { return k.prefix || v.prefix; }
};

// Stores the thread's two rows of c, keys j and j + 8.
template <int kN, class T>
__device__ void store_keys(const AttentionProblem<T>& a, const Sequence& s, int64_t sequence, const KeyGradient<T>& to,
                           int longest, float (&c)[kN][4], float factor, int j, int kv_head, int column) {
  const float factors[2] = {factor, factor};
  T* own[2] = {};
  float* prefix[2] = {};
  const int64_t width = int64_t(a.kv_heads) * a.head_size;
  for (int half = 0; half < 2; ++half) {
    const int key = j + 8 * half;
    if (key >= s.all()) continue;
    if (key >= s.prefix && to.own.data) own[half] = to.own[s.key_begin + (key - s.prefix)] + kv_head * a.head_size;
    if (key < s.prefix && to.prefix)
      prefix[half] = to.prefix + (sequence * longest + key) * width + kv_head * a.head_size;
  }
  store_rows(c, factors, own, column, a.head_size, to.pairs);
  store_rows(c, factors, prefix, column, a.head_size, false);
}

template <class T, bool kTensor, int kDepth, class Z = BackwardSizes<kTensor, kDepth>>
__global__ void __launch_bounds__(32 * Z::kWarps, kBlocksAtOnce)
    attention_backward_key_kernel(BackwardProblem<T> b, KeyGradients<T> to, int tiles) {
  using E = typename Z::E;
  constexpr int kStride = Z::kStride, kKeys = Z::kStay, kQueries = Z::kPass;
  using Scores = ScoreTile<kQueries, kKeys>;
  const AttentionProblem<T>& a = b.forward;
  const int64_t sequence = blockIdx.x / tiles;
  const Sequence s(a, sequence);
  const int kv_head = int(blockIdx.y), group = a.heads / a.kv_heads;
  const int first = int(blockIdx.x) % tiles * kKeys, column = int(blockIdx.z) * Z::kColumns;
  if (first >= s.all()) return;
  if (first >= s.prefix ? !to.wants_own() : first + kKeys <= s.prefix && !to.wants_prefix()) return;

  E* k = dynamic_shared<E>();
  E *v = k + kKeys * kStride, *q = v + kKeys * kStride, *dout = q + kQueries * kStride;
  auto& scores = *reinterpret_cast<Scores*>(dout + kQueries * kStride);
  RowState* state = reinterpret_cast<RowState*>(&scores + 1);  // [kQueries]
  load_tile<kKeys, kDepth>(k, KeyRows<T>{a.k, a.prefix_k, s, first, kv_head, a.head_size});
  load_tile<kKeys, kDepth>(v, KeyRows<T>{a.v, a.prefix_v, s, first, kv_head, a.head_size});

  const int warp_row = int(threadIdx.x) / 32 * 16, row = warp_row + lane_of() / 4;
  float dk[Z::kColumns / 8][4] = {}, dv[Z::kColumns / 8][4] = {};
  // Causal: queries before the tile's first key see none of it.
  const int hidden = a.causal && first >= s.prefix ? max(0, first - s.own_key(0)) : 0;
  const int skipped = hidden / kQueries, queries = (s.queries + kQueries - 1) / kQueries - skipped;
  const int steps = group * max(0, queries);  // tiles of queries of all heads that share the keys
  const auto head_of = [&](int step) { return kv_head * group + step / queries; };
  const auto query_of = [&](int step) { return (skipped + step % queries) * kQueries; };
  const auto load_queries = [&](const HeadMatrix<const T>& from, E* tile, int step) {
    const int begin = query_of(step);
    load_tile<kQueries, kDepth>(tile,
                                head_rows(from, s.query_begin + begin, s.queries - begin, head_of(step), a.head_size));
  };
  const auto load_gradients = [&](int step) {
    load_queries(b.dout, dout, step);
    scores.fill(a, s, head_of(step), query_of(step), first);
    for (int x = int(threadIdx.x); x < kQueries; x += int(blockDim.x)) {
      RowState of_query;
      of_query.read(b, s, query_of(step) + x, head_of(step));
      state[x] = of_query;
    }
  };
  if (steps > 0) {
    load_queries(a.q, q, 0);
    load_gradients(0);
  }
  for (int step = 0; step < steps; ++step) {
    const int begin = query_of(step);
    wait_for_tiles<E>();
    float p[kQueries / 8][4] = {}, ds[kQueries / 8][4] = {};  // transposed: [key, query]
    multiply_rows<kDepth>(k + warp_row * kStride, q, p);
    multiply_rows<kDepth>(v + warp_row * kStride, dout, ds);
    const Gradient<T, Scores> gradient{a, scores, begin, first, s.prefix};
    for_each(ds, p, [&](int half, int i, float& product, float& score) {
      const int j = row + 8 * half;
      gradient.apply(i, j, first + j < s.visible(a.causal, begin + i), state[i], score, product);
    });
    multiply_columns<kStride>(p, dout + column, dv);
    __syncthreads();
    if (step + 1 < steps) load_gradients(step + 1);
    multiply_columns<kStride>(ds, q + column, dk);
    __syncthreads();
    if (step + 1 < steps) load_queries(a.q, q, step + 1);
  }
  wait_for_copies<E>();
  store_keys(a, s, sequence, to.k, to.longest, dk, a.scale, first + row, kv_head, column);
  store_keys(a, s, sequence, to.v, to.longest, dv, 1.f, first + row, kv_head, column);
}

// ---- sums over sequences ----

// sum[r, d] = the partial results of the sequences whose prefix holds row r, in order.
__global__ void sum_prefixes_kernel(DeviceSegments prefixes, int64_t count, const float* partial, int64_t longest,
                                    Rows<float> sum, int64_t rows, int64_t width) {
  const int64_t d = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (d >= width) return;
  for (int64_t r = blockIdx.y * blockDim.y + threadIdx.y; r < rows; r += gridDim.y * blockDim.y) {
    float total = 0;
    for (int64_t s = 0; s < count; ++s) {
      const int64_t j = r - prefixes.begin[s];
      if (j >= 0 && j < prefixes.length[s]) total += partial[(s * longest + j) * width + d];
    }
    sum[r][d] = total;
  }
}

// dbias[bucket, head] = the sums of the tiles that exist, in order.
__global__ void sum_bias_kernel(DeviceSegments queries, int64_t count, int tiles, int tile_rows, BiasPartial bias,
                                Rows<float> dbias, int heads) {
  const int x = int(blockIdx.x * blockDim.x + threadIdx.x), head = x / bias.buckets;
  if (head >= heads) return;
  float total = 0;
  for (int64_t s = 0; s < count; ++s) {
    const int own = (queries.length[s] + tile_rows - 1) / tile_rows;
    for (int t = 0; t < own; ++t) total += bias.sum[((s * tiles + t) * heads + head) * bias.buckets + x % bias.buckets];
  }
  dbias[x % bias.buckets][head] = total;
}

void sum_prefixes(Stream& stream, const Segments& prefixes, const float* partial, const View& to) {
  if (!to || to.size() == 0) return;
  const Plane plane(to.rows(), to.cols());
  launch(sum_prefixes_kernel, plane.grid, plane.block, 0, stream, device_segments(prefixes), prefixes.count, partial,
         prefixes.longest, rows_of<float>(to), to.rows(), to.cols());
}

// ---- launches ----

template <class T>
Rows<T> rows_or_none(const View& v) {
  return v ? rows_of<T>(v) : Rows<T>{nullptr, 0};
}

template <class T, class Z>
void backward_query(Stream& stream, const AttentionInputs& in, const BackwardProblem<T>& problem,
                    const AttentionGradients& g, auto kernel) {
  if (!g.dq && !g.dbias) return;
  const int heads = problem.forward.heads, head_size = problem.forward.head_size;
  const int64_t count = in.queries.count, tiles = ceil_div(in.queries.longest, Z::kStay);
  const int buckets = g.dbias ? int(g.dbias.rows()) : 0;
  Scratch<float> partial(stream, count * tiles * heads * buckets);
  const BiasPartial bias{buckets ? partial.data() : nullptr, buckets};
  size_t bytes = Z::kTiles + sizeof(ScoreTile<Z::kStay, Z::kPass>);
  if (buckets) bytes += (Z::kStay * (Z::kPass + 1) + Z::kStay + Z::kPass) * sizeof(float);
  launch(kernel, dim3(unsigned(count * tiles), unsigned(heads)), dim3(32 * Z::kWarps), bytes, stream, problem,
         rows_or_none<T>(g.dq), bias, int(tiles), g.dq && pairs_ready(g.dq, head_size));
  if (buckets)
    launch(sum_bias_kernel, dim3(unsigned(ceil_div(int64_t(heads) * buckets, 128))), dim3(128), 0, stream,
           device_segments(in.queries), count, int(tiles), Z::kStay, bias, rows_of<float>(g.dbias), heads);
}

template <class T, class Z>
void backward_key(Stream& stream, const AttentionInputs& in, const BackwardProblem<T>& problem,
                  const AttentionGradients& g, auto kernel) {
  const int head_size = problem.forward.head_size;
  const int64_t longest = in.prefixes ? in.prefixes.longest : 0;
  const int64_t size = in.queries.count * longest * problem.forward.kv_heads * head_size;
  Scratch<float> prefix_k(stream, g.dprefix_k ? size : 0), prefix_v(stream, g.dprefix_v ? size : 0);
  const auto gradient = [&](const View& own, const View& prefix, const Scratch<float>& partial) {
    return KeyGradient<T>{rows_or_none<T>(own), prefix && size ? partial.data() : nullptr,
                          own && pairs_ready(own, head_size)};
  };
  const KeyGradients<T> to{gradient(g.dk, g.dprefix_k, prefix_k), gradient(g.dv, g.dprefix_v, prefix_v), int(longest)};
  const int64_t tiles = ceil_div(longest_keys(in), Z::kStay);
  const size_t bytes = Z::kTiles + sizeof(ScoreTile<Z::kPass, Z::kStay>) + Z::kPass * sizeof(RowState);
  if (g.dk || g.dv || g.dprefix_k || g.dprefix_v)
    launch(kernel,
           dim3(unsigned(in.queries.count * tiles), unsigned(problem.forward.kv_heads),
                unsigned(ceil_div(head_size, Z::kColumns))),
           dim3(32 * Z::kWarps), bytes, stream, problem, to, int(tiles));
  sum_prefixes(stream, in.prefixes, prefix_k.data(), g.dprefix_k);
  sum_prefixes(stream, in.prefixes, prefix_v.data(), g.dprefix_v);
}

}  // namespace

void attention_backward(Stream& stream, const AttentionConfig& config, const AttentionInputs& in, ConstView dout,
                        ConstView out, ConstView lse, const AttentionGradients& g) {
  if (g.dq) zero_gaps(stream, in.queries, g.dq);
  if (g.dk || g.dv) zero_gaps(stream, in.keys, g.dk, g.dv);
  if (library_attention_backward(stream, config, in, dout, out, lse, g)) return;
  visit_gpu(in.q.dtype(), [&]<class T>(Type<T>) {
    const int64_t count = in.q.rows() * config.heads;
    Scratch<float> delta(stream, count);
    const BackwardProblem<T> problem{problem_of<T>(config, in), head_matrix<T>(dout, config.head_size),
                                     rows_of<float>(lse), delta.data()};
    launch(attention_delta_kernel<T>, dim3(unsigned(ceil_div(count, 8))), dim3(256), 0, stream, rows_of<T>(dout),
           rows_of<T>(out), delta.data(), count, config.heads, config.head_size);
    for_variant<T>(config.head_size, [&](auto tensor, auto depth) {
      using Z = BackwardSizes<tensor, depth>;
      backward_query<T, Z>(stream, in, problem, g, attention_backward_query_kernel<T, tensor, depth>);
      backward_key<T, Z>(stream, in, problem, g, attention_backward_key_kernel<T, tensor, depth>);
    });
  });
}

}  // namespace cambium::gpu
