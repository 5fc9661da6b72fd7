// Attention of one new token a sequence over a long cache. Memory is what it costs: every key and
// value is read once for all the heads that share it (Ainslie et al. 2023), straight into
// registers.
//
// Keys are cut into splits of kSplit, at places that depend on nothing else, and each split has a
// block of its own (Dao et al. 2023, "Flash-Decoding"). In a block a group of lanes holds a key,
// sixteen bytes a lane; groups, then splits, are merged in order.
#include "cuda/attention_decode.cuh"

namespace cambium::gpu {
namespace {

constexpr int kThreads = 128;
constexpr int kSplit = 256;  // keys
constexpr int kAhead = 4;    // keys that a group loads at a time

// Part of a softmax over keys: sum of exp2(score - most), and values weighted by the same.
// Partial results lie as [head size] values, most, sum.
struct Part {
  float most = -INFINITY, sum = 0;
  // Weight of a part within the whole, whose largest score is `most`.
  __device__ static float weight(float part, float most) { return exp2f(part - (most == -INFINITY ? 0.f : most)); }
};

// Joins `count` parts, `stride` floats apart, in order; returns the weighted sum of value d.
__device__ float join_parts(const float* part, int count, int64_t stride, int size, int d, Part& whole) {
  for (int i = 0; i < count; ++i) whole.most = fmaxf(whole.most, part[i * stride + size]);
  float value = 0;
  for (int i = 0; i < count; ++i) {
    const float weight = Part::weight(part[i * stride + size], whole.most);
    value += weight * part[i * stride + d];
    whole.sum += weight * part[i * stride + size + 1];
  }
  return value;
}

template <class T>
__device__ void write_result(const Part& whole, float value, int d, T* out, float* lse) {
  store_one(out + d, whole.sum == 0 ? 0.f : value / whole.sum);
  if (d == 0) *lse = whole.sum == 0 ? -INFINITY : (whole.most + log2f(whole.sum)) * kLn2;
}

// kLanes lanes hold a key, in kPieces pieces of sixteen bytes each; kHeads query heads at a time.
template <class T, int kLanes, int kPieces, int kHeads>
struct Decoder {
  static constexpr int W = kPack<T>, kGroups = kThreads / kLanes;
  static constexpr int kSize = kLanes * kPieces * W;  // no head is larger

  const AttentionProblem<T>& a;
  const Sequence& s;
  int kv_head, first_head, heads;  // heads: of the block's kHeads those that exist
  int lane = int(threadIdx.x) % kLanes, group = int(threadIdx.x) / kLanes;

  Part part[kHeads];
  float q[kHeads][kPieces][W], value[kHeads][kPieces][W] = {};

  // The thread's channels.
  __device__ int channel(int piece) const { return (piece * kLanes + lane) * W; }

  template <class A>
  __device__ void load_piece(const A* row, bool vector, int piece, float (&v)[W]) const {
    const int d = channel(piece);
    if (vector && d < a.head_size) load(row + d, v);
    else load_some(row + d, a.head_size - d, v);
  }

  __device__ void load_queries() {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      const T* row = a.q.rows[s.query_begin] + (first_head + min(h, heads - 1)) * a.head_size;
#pragma unroll
      for (int p = 0; p < kPieces; ++p) {
        load_piece(row, a.q.vector, p, q[h][p]);
#pragma unroll
        for (int i = 0; i < W; ++i) q[h][p][i] *= a.scale * kLog2E;
      }
    }
  }

  // Key or value j.
  __device__ void load_key(const HeadMatrix<const T>& own, const PrefixMatrix& prefix, int j,
                           float (&v)[kPieces][W]) const {
    const int column = kv_head * a.head_size;
    const int64_t at = (s.prefix_begin + j) * prefix.stride + column;
#pragma unroll
    for (int p = 0; p < kPieces; ++p)
      if (j >= s.prefix) load_piece(own.rows[s.key_begin + (j - s.prefix)] + column, own.vector, p, v[p]);
      else if (prefix.wide) load_piece(static_cast<const float*>(prefix.data) + at, prefix.vector, p, v[p]);
      else load_piece(static_cast<const bfloat16*>(prefix.data) + at, prefix.vector, p, v[p]);
  }

  __device__ float score(int h, int j, const float (&k)[kPieces][W]) const {
    float sum = 0;
#pragma unroll
    for (int p = 0; p < kPieces; ++p)
#pragma unroll
      for (int i = 0; i < W; ++i) sum += q[h][p][i] * k[p][i];
#pragma unroll
    for (int distance = kLanes / 2; distance; distance /= 2) sum += __shfl_xor_sync(~0u, sum, distance);
    if (a.bias.data && j >= s.prefix && j < s.all() && h < heads) {
      const int distance = min(max(j - s.own_key(0), -a.range), a.range);
      sum += a.bias[a.bucket[distance + a.range]][first_head + h] * kLog2E;
    }
    return sum;
  }

  // Keys begin + group, and on by the number of groups.
  __device__ void add_keys(int begin, int end) {
    float k[kAhead][kPieces][W] = {}, v[kAhead][kPieces][W] = {};
#pragma unroll
    for (int u = 0; u < kAhead; ++u) {
      const int j = begin + u * kGroups + group;
      if (j >= end) continue;
      load_key(a.k, a.prefix_k, j, k[u]);
      load_key(a.v, a.prefix_v, j, v[u]);
    }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      float p[kAhead], most = part[h].most;
#pragma unroll
      for (int u = 0; u < kAhead; ++u) {
        const int j = begin + u * kGroups + group;
        const float x = score(h, j, k[u]);
        p[u] = j < end ? x : -INFINITY;
        most = fmaxf(most, p[u]);
      }
      const float factor = Part::weight(part[h].most, most);
      part[h].most = most;
      part[h].sum *= factor;
#pragma unroll
      for (int u = 0; u < kAhead; ++u) part[h].sum += p[u] = Part::weight(p[u], most);
#pragma unroll
      for (int e = 0; e < kPieces * W; ++e) {
        float& sum = value[h][e / W][e % W];
        sum *= factor;
#pragma unroll
        for (int u = 0; u < kAhead; ++u) sum += p[u] * v[u][e / W][e % W];
      }
    }
  }

  // [kHeads, kGroups, kSize + 2]
  __device__ void put_parts(float* parts) const {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      float* to = parts + (h * kGroups + group) * (kSize + 2);
#pragma unroll
      for (int e = 0; e < kPieces * W; ++e) to[channel(e / W) + e % W] = value[h][e / W][e % W];
      if (lane == 0) to[kSize] = part[h].most, to[kSize + 1] = part[h].sum;
    }
  }
};

// partial [S, heads, splits, head_size + 2]; not written where one split is all there can be.
template <class T, int kLanes, int kPieces, int kHeads>
__global__ void __launch_bounds__(kThreads) attention_decode_kernel(AttentionProblem<T> a, Rows<T> out, Rows<float> lse,
                                                                    float* partial, int splits, int chunks) {
  using D = Decoder<T, kLanes, kPieces, kHeads>;
  __shared__ float parts[kHeads * D::kGroups * (D::kSize + 2)];
  const Sequence s(a, blockIdx.x);
  const int split = int(blockIdx.z), begin = split * kSplit, end = min(begin + kSplit, s.all());
  if (s.queries != 1 || (begin >= end && split > 0)) return;
  const int group_size = a.heads / a.kv_heads, kv_head = int(blockIdx.y) / chunks;
  const int before = int(blockIdx.y) % chunks * kHeads;
  D d{.a = a,
      .s = s,
      .kv_head = kv_head,
      .first_head = kv_head * group_size + before,
      .heads = min(kHeads, group_size - before)};
  d.load_queries();
  for (int j = begin; j < end; j += kAhead * D::kGroups) d.add_keys(j, end);
  d.put_parts(parts);
  __syncthreads();
  for (int x = int(threadIdx.x); x < d.heads * a.head_size; x += kThreads) {
    const int h = x / a.head_size, channel = x % a.head_size, head = d.first_head + h;
    Part whole;
    const float value =
        join_parts(parts + h * D::kGroups * (D::kSize + 2), D::kGroups, D::kSize + 2, D::kSize, channel, whole);
    if (splits == 1) {
      write_result(whole, value, channel, out[s.query_begin] + head * a.head_size, lse[s.query_begin] + head);
      continue;
    }
    float* to = partial + ((int64_t(blockIdx.x) * a.heads + head) * splits + split) * (a.head_size + 2);
    to[channel] = value;
    if (channel == 0) to[a.head_size] = whole.most, to[a.head_size + 1] = whole.sum;
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    join_splits_kernel(AttentionProblem<T> a, Rows<T> out, Rows<float> lse, const float* partial, int splits) {
  const Sequence s(a, blockIdx.x);
  if (s.queries != 1) return;
  const int head = int(blockIdx.y), stride = a.head_size + 2;
  const int own = max(1, (s.all() + kSplit - 1) / kSplit);
  const float* parts = partial + (int64_t(blockIdx.x) * a.heads + head) * splits * stride;
  for (int d = int(threadIdx.x); d < a.head_size; d += kThreads) {
    Part whole;
    const float value = join_parts(parts, own, stride, a.head_size, d, whole);
    write_result(whole, value, d, out[s.query_begin] + head * a.head_size, lse[s.query_begin] + head);
  }
}

// Calls run(kLanes, kPieces): as few lanes a key as hold a head.
template <class T, class Run>
void for_lanes(int head_size, const Run& run) {
  constexpr int W = kPack<T>;
  const auto with = [&]<int kLanes, int kPieces>(std::integer_sequence<int, kLanes, kPieces>) {
    run(std::integral_constant<int, kLanes>(), std::integral_constant<int, kPieces>());
  };
  if (head_size <= 8 * W) return with(std::integer_sequence<int, 8, 1>());
  if (head_size <= 16 * W) return with(std::integer_sequence<int, 16, 1>());
  if constexpr (32 * W < kMaxHeadSize)
    if (head_size > 32 * W) return with(std::integer_sequence<int, 32, kMaxHeadSize / (32 * W)>());
  with(std::integer_sequence<int, 32, 1>());
}

}  // namespace

template <class T>
void attention_decode(Stream& stream, const AttentionInputs& in, const AttentionProblem<T>& problem, View out,
                      View lse) {
  const int64_t splits = std::max<int64_t>(1, ceil_div(longest_keys(in), kSplit));
  const int group = problem.heads / problem.kv_heads;
  CHECK(splits <= 65535, "attention: ", longest_keys(in), " keys: too many");
  Scratch<float> partial(stream, splits == 1 ? 0 : in.queries.count * problem.heads * splits * (problem.head_size + 2));
  for_lanes<T>(problem.head_size, [&](auto lanes, auto pieces) {
    const auto with = [&](auto heads) {
      const int chunks = int(ceil_div(group, heads));
      launch(attention_decode_kernel<T, lanes, pieces, heads>,
             dim3(unsigned(in.queries.count), unsigned(problem.kv_heads * chunks), unsigned(splits)), dim3(kThreads), 0,
             stream, problem, rows_of<T>(out), rows_of<float>(lse), partial.data(), int(splits), chunks);
    };
    if (group == 1) with(std::integral_constant<int, 1>());
    else with(std::integral_constant<int, 4>());
  });
  if (splits > 1)
    launch(join_splits_kernel<T>, dim3(unsigned(in.queries.count), unsigned(problem.heads)), dim3(kThreads), 0, stream,
           problem, rows_of<T>(out), rows_of<float>(lse), partial.data(), int(splits));
}

template void attention_decode(Stream&, const AttentionInputs&, const AttentionProblem<float>&, View, View);
template void attention_decode(Stream&, const AttentionInputs&, const AttentionProblem<bfloat16>&, View, View);

}  // namespace cambium::gpu
