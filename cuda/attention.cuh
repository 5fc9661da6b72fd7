// What the kernels of attention share: the problem as they take it, where a sequence lies, tiles of
// its rows in shared memory, and what becomes of a tile of scores.
//
// Keys are numbered with the prefix's rows first. A block works on one head of one sequence, in
// tiles whose places depend on nothing but the numbers of queries and keys: a sequence's results
// have the same bits in every batch.
#pragma once

#include "core/kernels/attention.h"
#include "core/memory.h"
#include "cuda/tile_product.cuh"

namespace cambium::gpu {

inline constexpr int kMaxHeadSize = 256;
// Scores are kept times log2(e), for exp2.
inline constexpr float kLog2E = 1.44269504f, kLn2 = 0.693147181f;

// ---- the problem ----

// Rows [.., heads * head_size]; vector: pieces of eight elements of a head can be moved whole.
template <class T>
struct HeadMatrix {
  Rows<T> rows;
  bool vector;
};

// A prefix has a type of its own.
struct PrefixMatrix {
  const void* data;
  int64_t stride;
  bool wide, vector;  // wide: float32, else bfloat16
};

struct DeviceSegments {
  const int32_t *begin, *length;  // null: no segments
};

template <class T>
struct AttentionProblem {
  int heads, kv_heads, head_size;
  float scale;
  bool causal;
  DeviceSegments queries, keys, prefixes;
  HeadMatrix<const T> q, k, v;
  PrefixMatrix prefix_k, prefix_v;
  Rows<const float> bias;  // data is null where there is none
  const int32_t* bucket;
  int range;
  // Dropout; keep_scale 1 / (1 - p). Off: token.data is null.
  Rows<const int32_t> token;
  RandomKey key;
  uint32_t threshold;
  float keep_scale;
};

template <class T>
HeadMatrix<const T> head_matrix(const ConstView& v, int head_size) {
  return {rows_of<T>(v), head_size % 8 == 0 && vector_ready(8, v)};
}

inline PrefixMatrix prefix_matrix(const ConstView& v, int head_size) {
  if (!v) return {};
  const bool wide = v.dtype() == DType::f32;
  CHECK(wide || v.dtype() == DType::bf16, "attention: a prefix of ", name_of(v.dtype()),
        " on the GPU, where float32 or bfloat16 is needed");
  return {v.pointer, v.stride, wide, head_size % 8 == 0 && vector_ready(8, v)};
}

inline DeviceSegments device_segments(const Segments& s) {
  if (!s) return {};
  return {s.begin.data<int32_t>(), s.length.data<int32_t>()};
}

template <class T>
AttentionProblem<T> problem_of(const AttentionConfig& c, const AttentionInputs& in) {
  CHECK(c.head_size >= 1 && c.head_size <= kMaxHeadSize, "attention: heads of ", c.head_size,
        " on the GPU, which takes 1 to ", kMaxHeadSize);
  CHECK(c.kv_heads >= 1 && c.heads % c.kv_heads == 0 && c.heads <= 65535, "attention: ", c.heads, " heads, ",
        c.kv_heads, " for keys");
  const bool drops = c.dropout.probability > 0;
  return {.heads = c.heads,
          .kv_heads = c.kv_heads,
          .head_size = c.head_size,
          .scale = c.scale,
          .causal = c.causal,
          .queries = device_segments(in.queries),
          .keys = device_segments(in.keys),
          .prefixes = device_segments(in.prefixes),
          .q = head_matrix<T>(in.q, c.head_size),
          .k = head_matrix<T>(in.k, c.head_size),
          .v = head_matrix<T>(in.v, c.head_size),
          .prefix_k = prefix_matrix(in.prefix_k, c.head_size),
          .prefix_v = prefix_matrix(in.prefix_v, c.head_size),
          .bias = rows_of<float>(in.bias),
          .bucket = in.bucket.data<int32_t>(),
          .range = int(in.bucket.size() / 2),
          .token = drops ? rows_of<int32_t>(in.token) : Rows<const int32_t>{nullptr, 0},
          .key = c.dropout.key,
          .threshold = drop_threshold(c.dropout.probability),
          .keep_scale = drops ? 1 / (1 - c.dropout.probability) : 1.f};
}

// Keys of a sequence at most, prefix included.
inline int64_t longest_keys(const AttentionInputs& in) {
  return in.keys.longest + (in.prefixes ? in.prefixes.longest : 0);
}

// ---- a sequence ----

struct Sequence {
  int query_begin, queries, key_begin, keys, prefix_begin = 0, prefix = 0;

  template <class T>
  __device__ Sequence(const AttentionProblem<T>& a, int64_t s)
      : query_begin(a.queries.begin[s]), queries(a.queries.length[s]), key_begin(a.keys.begin[s]),
        keys(a.keys.length[s]) {
    if (a.prefixes.begin) prefix_begin = a.prefixes.begin[s], prefix = a.prefixes.length[s];
  }
  __device__ int all() const { return prefix + keys; }
  // Number of the key at the place of query i.
  __device__ int own_key(int i) const { return prefix + i + keys - queries; }
  // Query i sees the keys before this number.
  __device__ int visible(bool causal, int i) const { return causal ? min(max(own_key(i) + 1, prefix), all()) : all(); }
};

// ---- tiles ----

// Tiles of bfloat16 (of the tensor cores' variant, that is) arrive while the block does something
// else.
template <class E>
inline constexpr bool kCopiesLater = std::is_same_v<E, bfloat16>;

// Sixteen bytes to shared memory, some time before the thread's next wait_for_copies().
template <class E>
__device__ void copy_later(const E* from, E* to) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(unsigned(__cvta_generic_to_shared(to))), "l"(from)
               : "memory");
}
template <class E>
__device__ void wait_for_copies() {
  if constexpr (kCopiesLater<E>) asm volatile("cp.async.wait_all;" ::: "memory");
}

// Tiles are there, and what was read before the call may be overwritten. By the whole block.
template <class E>
__device__ void wait_for_tiles() {
  wait_for_copies<E>();
  __syncthreads();
}

// Eight elements of a row, of which `count` exist; zeros after them. vector: all or none exist.
template <class T, class E>
__device__ void copy_piece(const T* from, int count, bool vector, E* to) {
  if constexpr (std::is_same_v<T, E> && kCopiesLater<E>)
    if (vector && count > 0) return copy_later(from, to);
  float v[8] = {};
  if (vector && count > 0) load(from, v);
  else if (count > 0) load_some(from, count, v);
  store(to, v);
}

// The rows of one head of consecutive rows of a matrix.
template <class T>
struct HeadRows {
  const T* first;
  int64_t stride;
  int rows, head_size;
  bool vector;

  template <class E>
  __device__ void copy(int r, int d, E* to) const {
    copy_piece(first + r * stride + d, r < rows ? head_size - d : 0, vector, to);
  }
};

template <class T>
__device__ HeadRows<T> head_rows(const HeadMatrix<const T>& m, int64_t row, int rows, int head, int head_size) {
  return {m.rows[row] + head * head_size, m.rows.stride, rows, head_size, m.vector};
}

// Keys or values of one head of a sequence, from number `begin` on.
template <class T>
struct KeyRows {
  const HeadMatrix<const T>& own;
  const PrefixMatrix& prefix;
  const Sequence& s;
  int begin, head, head_size;

  template <class E>
  __device__ void copy(int r, int d, E* to) const {
    const int j = begin + r, column = head * head_size + d, count = j < s.all() ? head_size - d : 0;
    if (j >= s.prefix) {
      const int64_t row = s.key_begin + (j - s.prefix);
      return copy_piece(own.rows[row] + column, count, own.vector, to);
    }
    const int64_t at = (s.prefix_begin + j) * prefix.stride + column;
    if (prefix.wide) copy_piece(static_cast<const float*>(prefix.data) + at, count, prefix.vector, to);
    else copy_piece(static_cast<const bfloat16*>(prefix.data) + at, count, prefix.vector, to);
  }
};

// tile [kRows, kDepth] = rows of a source, columns beyond the head's are zeros. By the whole block;
// to be read after wait_for_tiles().
template <int kRows, int kDepth, class E, class Source>
__device__ void load_tile(E* tile, const Source& source) {
  constexpr int kPieces = kDepth / 8;
#pragma unroll 4
  for (int x = int(threadIdx.x); x < kRows * kPieces; x += int(blockDim.x)) {
    const int r = x / kPieces, d = x % kPieces * 8;
    source.copy(r, d, tile + r * kTileStride<E, kDepth> + d);
  }
}

// ---- scores ----

// What a tile of kQueries queries and kKeys keys needs beside their rows: the bias by distance, and
// which probabilities are kept. In shared memory.
template <int kQueries, int kKeys>
struct ScoreTile {
  float bias[kQueries + kKeys];
  uint8_t keep[kQueries * 16];  // bit k of [i, c]: key c + 16 k of the group of 64 that the tile is in

  // For queries from `query` and keys from `key` on; a multiple of kKeys. By the whole block.
  template <class T>
  __device__ void fill(const AttentionProblem<T>& a, const Sequence& s, int head, int query, int key) {
    if (a.bias.data)
      for (int x = int(threadIdx.x); x < kQueries + kKeys - 1; x += int(blockDim.x)) {
        const int distance = key + x - (kQueries - 1) - s.own_key(query);
        bias[x] = a.bias[a.bucket[bucket_of(a, distance)]][head] * kLog2E;
      }
    if (a.token.data)
      for (int x = int(threadIdx.x); x < kQueries * 16; x += int(blockDim.x)) {
        const int i = query + x / 16;
        keep[x] = i < s.queries ? kept_bits(a, a.token[s.query_begin + i], head, key, x % 16) : 0;
      }
  }

  template <class T>
  static __device__ uint8_t kept_bits(const AttentionProblem<T>& a, const int32_t* token, int head, int key, int c) {
    const RandomWords random =
        philox(a.key, uint32_t(key / 64 * 16 + c), uint32_t(token[1]), uint32_t(token[0]), uint32_t(head));
    unsigned kept = 0;
#pragma unroll
    for (int k = 0; k < 4; ++k) kept |= unsigned(random.word[k] >= a.threshold) << k;
    return uint8_t(kept);
  }

  template <class T>
  static __device__ int bucket_of(const AttentionProblem<T>& a, int distance) {
    return min(max(distance, -a.range), a.range) + a.range;
  }
  // Of query i and key j of the tile.
  __device__ float bias_of(int i, int j) const { return bias[j - i + kQueries - 1]; }
  // key: the number of the key.
  __device__ bool kept(int i, int key) const { return keep[i * 16 + key % 16] >> key / 16 % 4 & 1; }
};

// ---- results ----

// Two neighbouring elements of a row of which `count` exist.
template <class T>
__device__ void store_two(T* p, int count, bool pairs, float first, float second) {
  const float v[2] = {first, second};
  if (pairs && count >= 2) store(p, v);
  else store_some(p, count, v);
}

// Whether pairs of elements of heads can be stored whole.
inline bool pairs_ready(const ConstView& v, int head_size) { return head_size % 2 == 0 && vector_ready(2, v); }

// Rows of c, times factor[half], to the columns from `column` on of the thread's two rows (null:
// not wanted).
template <int kN, class T>
__device__ void store_rows(float (&c)[kN][4], const float (&factor)[2], T* const (&row)[2], int column, int head_size,
                           bool pairs) {
  const int first = lane_of() % 4 * 2;
#pragma unroll
  for (int h = 0; h < 2; ++h)
    if (row[h])
#pragma unroll
      for (int n = 0; n < kN; ++n) {
        const int d = column + n * 8 + first;
        store_two(row[h] + d, head_size - d, pairs, c[n][2 * h] * factor[h], c[n][2 * h + 1] * factor[h]);
      }
}

// Zeros in the rows of one or two matrices that belong to no segment (cuda/attention_forward.cu).
void zero_gaps(LaunchSite, const Segments&, const View& first, const View& second = {});

// ---- variants ----

// Calls run(depth) with the first depth that holds a head.
template <int kDepth, int... kMore, class Run>
void with_depth(int head_size, const Run& run) {
  if constexpr (sizeof...(kMore) > 0)
    if (head_size > kDepth) return with_depth<kMore...>(head_size, run);
  run(std::integral_constant<int, kDepth>());
}

// Calls run(kTensor, kDepth) for the variant that fits: tensor cores for bfloat16 heads of a
// multiple of 16, where the build has them.
template <class T, class Run>
void for_variant(int head_size, const Run& run) {
  if constexpr (kHasTensorCores && std::is_same_v<T, bfloat16>)
    if (head_size % 16 == 0)
      return with_depth<16, 32, 64, 96, 128, 256>(head_size, [&](auto depth) { run(std::true_type(), depth); });
  with_depth<32, 64, 128, 256>(head_size, [&](auto depth) { run(std::false_type(), depth); });
}

}  // namespace cambium::gpu
