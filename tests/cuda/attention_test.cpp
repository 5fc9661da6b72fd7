// Attention: the GPU side against the CPU side, on sizes that fit no tile, warp or vector, and what
// its kernels promise beyond values: the same bits in every batch, nothing read outside of
// segments.
#include "core/kernels/attention.h"

#include <algorithm>
#include <array>
#include <limits>

#include "tests/cuda/sides.h"

namespace cambium::testing {
namespace {

struct Sequence {
  int32_t query_begin, queries, key_begin, keys, prefix_begin = 0, prefix = 0;
};

struct Problem {
  AttentionConfig config;
  std::vector<Sequence> sequences;
  int64_t query_rows, key_rows;
  int64_t prefix_rows = 0;
  DType prefix_type = DType::f32;
  int range = 0, buckets = 3;  // of the relative bias; 0: none
  int64_t margin = 0;          // columns before and after every matrix
  bool forward_only = false, spare_is_nan = false;
};

constexpr DropoutConfig kDropout{0.3f, {11, 12}};

// The tensors of a problem on one side.
struct Instance {
  const Problem& p;
  Stream& stream;
  DType dtype;
  int64_t width = p.config.heads * p.config.head_size, kv_width = p.config.kv_heads * p.config.head_size;
  Strided q = matrix(p.query_rows, width, 1), k = keys(2), v = keys(3), dout = matrix(p.query_rows, width, 4);
  Tensor prefix_k = prefix(5), prefix_v = prefix(6), bias, bucket, token;
  Tensor begin[3], length[3];
  int64_t longest[3];
  // Results start as something that must be overwritten.
  Strided out = matrix(p.query_rows, width, 7), dq = matrix(p.query_rows, width, 7),
          dk = matrix(p.key_rows, kv_width, 7), dv = matrix(p.key_rows, kv_width, 7);
  Tensor lse = wide({p.query_rows, p.config.heads}, 7), dprefix_k = wide(prefix_k.shape(), 7),
         dprefix_v = wide(prefix_k.shape(), 7), dbias;

  Instance(const Problem& problem, Stream& s, DType t) : p(problem), stream(s), dtype(t) {
    std::vector<int32_t> tokens, of_distance, begins[3], lengths[3];
    for (int32_t n = 0; n < p.query_rows; ++n) tokens.insert(tokens.end(), {n / 5 + 7, n % 5});
    token = integers(tokens, {p.query_rows, 2}, s.device);
    for (int d = -p.range; d <= p.range; ++d) of_distance.push_back((d + p.range) * p.buckets / (2 * p.range + 1));
    if (p.range) {
      bucket = integers(of_distance, s.device);
      bias = wide({p.buckets, p.config.heads}, 8);
      dbias = wide({p.buckets, p.config.heads}, 7);
    }
    for (const Sequence& x : p.sequences) {
      const int32_t values[3][2] = {{x.query_begin, x.queries}, {x.key_begin, x.keys}, {x.prefix_begin, x.prefix}};
      for (int i = 0; i < 3; ++i) begins[i].push_back(values[i][0]), lengths[i].push_back(values[i][1]);
    }
    for (int i = 0; i < 3; ++i) {
      begin[i] = integers(begins[i], s.device);
      length[i] = integers(lengths[i], s.device);
      longest[i] = lengths[i].empty() ? 0 : *std::max_element(lengths[i].begin(), lengths[i].end());
    }
  }

  Strided matrix(int64_t rows, int64_t columns, uint64_t seed) const {
    return strided(random_array({rows, columns}, seed), dtype, stream.device, p.margin, p.margin);
  }
  Strided keys(uint64_t seed) const {
    Array a = random_array({p.key_rows, kv_width}, seed);
    for (int64_t n = 0; n < p.key_rows && p.spare_is_nan; ++n) {
      const bool used = std::any_of(p.sequences.begin(), p.sequences.end(),
                                    [&](const Sequence& s) { return n >= s.key_begin && n < s.key_begin + s.keys; });
      if (!used)
        for (int64_t d = 0; d < kv_width; ++d) a(n, d) = std::numeric_limits<double>::quiet_NaN();
    }
    return strided(a, dtype, stream.device, p.margin, p.margin);
  }
  Tensor prefix(uint64_t seed) const {
    if (!p.prefix_rows) return {};
    return to_tensor(random_array({p.prefix_rows, kv_width}, seed), p.prefix_type, stream.device);
  }
  Tensor wide(const Shape& shape, uint64_t seed) const {
    if (shape.rank() == 0) return {};
    return to_tensor(random_array(shape, seed), DType::f32, stream.device);
  }
  Segments segments(int i) const { return {begin[i], length[i], int64_t(p.sequences.size()), longest[i]}; }
  static View view_of(const Tensor& t) { return t ? t.view() : View(); }

  AttentionInputs inputs() const {
    return {.q = q,
            .k = k,
            .v = v,
            .queries = segments(0),
            .keys = segments(1),
            .prefix_k = view_of(prefix_k),
            .prefix_v = view_of(prefix_v),
            .prefixes = prefix_k ? segments(2) : Segments(),
            .bias = view_of(bias),
            .bucket = view_of(bucket),
            .token = token};
  }
  AttentionGradients gradients() const {
    return {.dq = dq,
            .dk = dk,
            .dv = dv,
            .dprefix_k = view_of(dprefix_k),
            .dprefix_v = view_of(dprefix_v),
            .dbias = view_of(dbias)};
  }
  void forward() const { DISPATCH(attention_forward, stream)(stream, p.config, inputs(), out, lse); }
  void backward(const AttentionGradients& g) const {
    DISPATCH(attention_backward, stream)(stream, p.config, inputs(), dout, out, lse, g);
  }
  // What forward and backward wrote.
  std::vector<Tensor> run() const {
    forward();
    if (p.forward_only) return {out.all, lse};
    backward(gradients());
    std::vector<Tensor> results{out.all, lse, dq.all, dk.all, dv.all};
    for (const Tensor& t : {dprefix_k, dprefix_v, dbias})
      if (t) results.push_back(t);
    return results;
  }
};

void check(const Problem& p, const std::string& what, double bf16_share = 2e-2) {
  for (const DType dtype : {DType::f32, DType::bf16})
    expect_sides_agree([&](Stream& s) { return Instance(p, s, dtype).run(); }, dtype == DType::f32 ? 2e-5 : bf16_share,
                       text(what, " ", name_of(dtype)));
}

AttentionConfig heads(int heads, int kv_heads, int size, bool causal, DropoutConfig dropout = {}) {
  return {.heads = heads,
          .kv_heads = kv_heads,
          .head_size = size,
          .scale = 1 / std::sqrt(float(size)),
          .causal = causal,
          .dropout = dropout};
}

// Ragged, with an empty sequence, one of one token, and rows between that belong to none.
const std::vector<Sequence> kRagged = {
    {0, 7, 0, 7, 0, 3}, {7, 1, 7, 1, 0, 3}, {8, 0, 8, 0, 0, 0}, {9, 19, 9, 19, 3, 2}, {30, 5, 30, 5, 1, 4}};

Problem ragged(const AttentionConfig& config) { return {config, kRagged, 36, 37}; }

TEST(GpuAttention, HeadSizes) {
  for (const int size : {1, 2, 5, 16, 24, 33, 64, 80, 128, 144, 256})
    for (const int64_t margin : {0, 3}) {
      if (margin && size > 64) continue;
      Problem p = ragged(heads(2, 1, size, size % 3 != 0));
      p.margin = margin;
      check(p, text("heads of ", size, ", margin ", margin));
    }
}

TEST(GpuAttention, LengthsAroundATile) {
  for (const bool causal : {false, true})
    for (const int32_t length : {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130})
      check({heads(1, 1, 8, causal), {{0, length, 0, length}}, length, length},
            text(length, " tokens, causal ", causal));
}

TEST(GpuAttention, Cross) {
  for (const bool causal : {false, true})
    check({heads(2, 2, 16, causal), {{0, 3, 0, 70}, {3, 40, 75, 2}, {43, 2, 77, 0}, {45, 1, 77, 0}}, 46, 78},
          text("queries and keys of unequal number, causal ", causal));
}

TEST(GpuAttention, GroupedHeads) {
  for (const auto& [all, kv] : {std::pair(6, 2), std::pair(5, 1), std::pair(9, 9)})
    check(ragged(heads(all, kv, 16, true)), text(all, " heads, ", kv, " for keys"));
}

TEST(GpuAttention, Prefixes) {
  for (const DType type : {DType::f32, DType::bf16})
    for (const int size : {6, 16, 64}) {
      Problem p = ragged(heads(2, 2, size, size != 64));
      p.prefix_rows = 6;  // the last belongs to no sequence
      p.prefix_type = type;
      check(p, text("prefixes in ", name_of(type), ", heads of ", size));
    }
}

TEST(GpuAttention, LongPrefixesAndNothingElse) {
  Problem p{heads(2, 1, 16, true), {{0, 5, 0, 5, 0, 90}, {5, 33, 5, 0, 10, 70}, {38, 1, 5, 0, 0, 64}}, 39, 5, 91};
  check(p, "long prefixes");
}

TEST(GpuAttention, RelativeBias) {
  for (const int range : {1, 9, 200})
    for (const bool causal : {false, true}) {
      const int64_t prefix_rows = causal ? 5 : 0;
      Problem p = ragged(heads(3, 3, 16, causal));
      p.sequences.push_back({36, 70, 37, 75, 2, 3});
      p.query_rows = 106, p.key_rows = 112;
      p.range = range, p.buckets = range == 9 ? 1 : 3, p.prefix_rows = prefix_rows;
      // The sums over a bucket cancel, in the last case to nothing but the rounding of `out`.
      check(p, text("bias of range ", range, ", causal ", causal, ", prefix ", prefix_rows), 0.15);
    }
}

TEST(GpuAttention, Dropout) {
  for (const int size : {4, 64, 144}) {
    Problem p = ragged(heads(2, 1, size, size != 64, kDropout));
    p.sequences.push_back({36, 67, 37, 140, 2, 3});
    p.query_rows = 103, p.key_rows = 180, p.prefix_rows = 5;
    p.range = 4;
    check(p, text("dropout, heads of ", size));
  }
}

TEST(GpuAttention, EmptyBatches) {
  check({heads(2, 1, 8, true), {}, 0, 0}, "no rows");
  check({heads(2, 1, 8, true), {}, 5, 6}, "no sequences");
  Problem p{heads(2, 1, 8, true), {{0, 0, 0, 0, 0, 0}}, 3, 2, 4};
  p.range = 2;
  check(p, "an empty sequence");
}

// Scores of which only the largest counts.
TEST(GpuAttention, LargeScores) {
  Problem p = ragged(heads(2, 1, 16, true));
  p.config.scale = 40;
  p.forward_only = true;
  check(p, "large scores");
}

// One new token a sequence over a cache: beams that share keys, spare capacity that holds anything.
TEST(GpuAttention, Decodes) {
  const std::array<int, 3> sizes[] = {{2, 2, 5}, {2, 2, 64}, {6, 1, 16}, {6, 1, 128}, {4, 2, 160}};
  for (const auto& [all, kv, size] : sizes) {
    Problem p{heads(all, kv, size, true), {}, 9, 1100};
    const int32_t lengths[] = {1, 7, 63, 64, 256, 257, 300};
    int32_t begin = 2;
    for (int32_t i = 0; i < 7; ++i) {
      p.sequences.push_back({i, 1, begin, lengths[i]});
      begin += lengths[i] + 13;
    }
    p.sequences.push_back({7, 1, p.sequences[6].key_begin, 300});
    p.sequences.push_back({8, 1, begin, 0});
    p.forward_only = p.spare_is_nan = true;
    check(p, text("decoding, ", all, " heads, ", kv, " for keys, of ", size));
  }
}

TEST(GpuAttention, DecodesWithPrefixAndBias) {
  Problem p{heads(4, 2, 16, false),
            {{0, 1, 0, 300, 0, 5}, {1, 1, 310, 3, 0, 5}, {2, 1, 310, 0, 2, 9}, {3, 1, 320, 251, 6, 5}},
            4,
            600,
            11};
  p.range = 8;
  p.forward_only = p.spare_is_nan = true;
  for (const int64_t margin : {0, 3}) {
    p.margin = margin;
    check(p, text("decoding with prefix and bias, margin ", margin));
  }
}

// Rows [begin, begin + count) of t.
Array rows_of_sequence(const Tensor& t, int32_t begin, int32_t count) {
  return values_of(t.rows(begin, begin + count));
}

// Whether sequence i of `batch` has the results that it has alone, bit for bit.
void expect_same_alone(const Problem& batch, DType dtype, size_t i) {
  Problem alone = batch;
  const Sequence s = batch.sequences[i];
  alone.sequences = {s};
  Stream& gpu = current_stream(Device::gpu());
  const auto expected = Instance(alone, gpu, dtype).run(), seen = Instance(batch, gpu, dtype).run();
  for (size_t r = 0; r < (batch.forward_only ? 2 : 5); ++r) {
    const bool of_keys = r >= 3;
    const int32_t begin = of_keys ? s.key_begin : s.query_begin, count = of_keys ? s.keys : s.queries;
    EXPECT_EQ(rows_of_sequence(seen[r], begin, count).values, rows_of_sequence(expected[r], begin, count).values)
        << "sequence " << i << " " << name_of(dtype) << ", output " << r << ": depends on the rest of the batch";
  }
}

TEST(GpuAttention, BitsDoNotDependOnTheBatch) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const DropoutConfig& dropout : {DropoutConfig{}, kDropout}) {
      Problem p = ragged(heads(2, 1, 16, true, dropout));
      p.sequences.push_back({35, 1, 37, 150, 2, 3});
      p.sequences.push_back({36, 70, 190, 70, 0, 2});
      p.query_rows = 106, p.key_rows = 260, p.prefix_rows = 6;
      for (size_t i = 0; i < p.sequences.size(); ++i) expect_same_alone(p, dtype, i);
    }
}

TEST(GpuAttention, DecodingBitsDoNotDependOnTheBatch) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Problem p{heads(4, 2, 16, true), {{0, 1, 0, 40}, {1, 1, 50, 256}, {2, 1, 310, 700}, {3, 20, 1100, 20}}, 23, 1120};
    p.forward_only = true;
    for (size_t i = 0; i < p.sequences.size(); ++i) expect_same_alone(p, dtype, i);
  }
}

// Any gradient may be left out; the others keep their bits.
TEST(GpuAttention, GradientsThatAreNotWanted) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  Problem p = ragged(heads(2, 1, 16, true));
  p.prefix_rows = 5, p.range = 3;
  Stream& gpu = current_stream(Device::gpu());
  const auto all = Instance(p, gpu, DType::f32).run();
  for (unsigned mask = 0; mask < 64; ++mask) {
    const Instance some(p, gpu, DType::f32);
    some.forward();
    AttentionGradients g = some.gradients();
    View* const views[] = {&g.dq, &g.dk, &g.dv, &g.dprefix_k, &g.dprefix_v, &g.dbias};
    for (size_t i = 0; i < 6; ++i)
      if (!(mask >> i & 1)) *views[i] = View();
    some.backward(g);
    const Tensor results[] = {some.dq.all, some.dk.all, some.dv.all, some.dprefix_k, some.dprefix_v, some.dbias};
    for (size_t i = 0; i < 6; ++i)
      if (mask >> i & 1) {
        EXPECT_TRUE(same_bits(results[i], all[2 + i])) << "gradient " << i << ", mask " << mask;
      }
  }
}

TEST(GpuAttention, RefusesWhatItCannotDo) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  Stream& gpu = current_stream(Device::gpu());
  EXPECT_THROW(Instance(ragged(heads(1, 1, 257, true)), gpu, DType::f32).run(), Error);
  EXPECT_THROW(Instance(ragged(heads(3, 2, 8, true)), gpu, DType::f32).run(), Error);
  EXPECT_THROW(Instance(ragged(heads(1, 1, 8, true)), gpu, DType::f64).run(), Error);
}

}  // namespace
}  // namespace cambium::testing
