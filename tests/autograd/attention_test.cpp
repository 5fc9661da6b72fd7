// The rows of attention in the table of op tests.
#include "autograd/ops/attention.h"

#include "tests/support/op_case.h"

namespace cambium::testing {
namespace {

struct Sequence {
  int32_t query_begin, queries, key_begin, keys, prefix_begin, prefix;
};

// The op with its segments on the device of its inputs.
struct AttendCase {
  AttentionConfig config;
  std::vector<Sequence> sequences;
  bool prefixed = false;
  int range = 0;  // of the relative bias

  using Saved = Attend::Saved;

  static OwnedSegments segments(const std::vector<int32_t>& begin, const std::vector<int32_t>& length, Device device) {
    return {Tensor::of(begin, device), Tensor::of(length, device), *std::max_element(length.begin(), length.end())};
  }
  std::vector<int32_t> buckets() const {
    std::vector<int32_t> bucket;
    for (int d = -range; d <= range; ++d) bucket.push_back((d + range) * 3 / (2 * range + 1));
    return bucket;
  }
  static std::array<int32_t, 2> token(int64_t n) { return {int32_t(n / 4 + 9), int32_t(n % 4)}; }

  Attend on(Device device, int64_t rows) const {
    std::vector<int32_t> columns[6];
    for (const Sequence& s : sequences) {
      const int32_t values[] = {s.query_begin, s.queries, s.key_begin, s.keys, s.prefix_begin, s.prefix};
      for (int i = 0; i < 6; ++i) columns[i].push_back(values[i]);
    }
    Attend op{.config = config,
              .queries = segments(columns[0], columns[1], device),
              .keys = segments(columns[2], columns[3], device)};
    if (prefixed) op.prefixes = segments(columns[4], columns[5], device);
    if (range) op.bucket = Tensor::of(buckets(), device);
    std::vector<int32_t> tokens;
    for (int64_t n = 0; n < rows; ++n) tokens.insert(tokens.end(), {token(n)[0], token(n)[1]});
    op.token = Tensor::of(std::span<const int32_t>(tokens), {rows, 2}, device);
    return op;
  }
  Tensor forward(Saved& saved, Needs<5> needs, const Tensor& q, const Tensor& kv, const Tensor& pk, const Tensor& pv,
                 const Tensor& bias) const {
    return on(q.device(), q.rows()).forward(saved, needs, q, kv, pk, pv, bias);
  }
  void backward(const Saved& saved, Tensor dy, Grads<5> grads) const {
    const Attend op = on(dy.device(), dy.rows());
    op.backward(saved, std::move(dy), grads);
  }

  // softmax(scale q k^T + bias) v, key by key.
  Array defined(const Array& q, const Array& kv, const Array& pk, const Array& pv, const Array& bias) const {
    const int64_t size = config.head_size, width = config.heads * size, kv_width = config.kv_heads * size;
    const Array& source = kv.size() ? kv : q;
    const int64_t shift = kv.size() ? 0 : width;
    Array out({q.rows(), width});
    for (const Sequence& s : sequences)
      for (int64_t i = 0; i < s.queries; ++i)
        for (int64_t h = 0; h < config.heads; ++h) {
          const int64_t g = h / (config.heads / config.kv_heads), place = i + s.keys - s.queries, n = s.query_begin + i;
          const int64_t prefix = prefixed ? s.prefix : 0;
          std::vector<double> p;
          double total = 0;
          for (int64_t j = 0; j < prefix + s.keys; ++j) {
            double score = 0;
            for (int64_t d = 0; d < size; ++d)
              score += q(n, h * size + d) * (j < prefix ? pk(s.prefix_begin + j, g * size + d)
                                                        : source(s.key_begin + j - prefix, shift + g * size + d));
            score *= double(config.scale);
            if (range && j >= prefix)
              score += bias(buckets()[size_t(std::clamp<int64_t>(j - prefix - place, -range, range) + range)], h);
            const bool hidden = config.causal && j >= prefix && j - prefix > place;
            p.push_back(hidden ? 0 : std::exp(score));
            total += p.back();
          }
          for (int64_t j = 0; j < int64_t(p.size()); ++j) {
            double weight = p[size_t(j)] / total;
            if (config.dropout.probability > 0) {
              const RandomWords w = philox(config.dropout.key, channel_counter(uint32_t(j)), uint32_t(token(n)[1]),
                                           uint32_t(token(n)[0]), uint32_t(h));
              weight *= w.word[channel_word(uint32_t(j))] >= drop_threshold(config.dropout.probability)
                            ? 1 / (1 - double(config.dropout.probability))
                            : 0;
            }
            if (weight == 0) continue;
            for (int64_t d = 0; d < size; ++d)
              out(n, h * size + d) +=
                  weight * (j < prefix ? pv(s.prefix_begin + j, g * size + d)
                                       : source(s.key_begin + j - prefix, shift + kv_width + g * size + d));
          }
        }
    return out;
  }
};

void check(AttendCase c, int64_t rows, int64_t key_rows, int64_t prefix_rows) {
  const int64_t width = c.config.heads * c.config.head_size, kv_width = c.config.kv_heads * c.config.head_size;
  const Shape none;
  check_op(OpCase{
      .name = "attend",
      .op = c,
      .definition = [=](const Array& q, const Array& kv, const Array& pk, const Array& pv,
                        const Array& bias) { return c.defined(q, kv, pk, pv, bias); },
      .shapes = {{{rows, key_rows ? width : width + 2 * kv_width},
                  key_rows ? Shape{key_rows, 2 * kv_width} : none,
                  prefix_rows ? Shape{prefix_rows, kv_width} : none,
                  prefix_rows ? Shape{prefix_rows, kv_width} : none,
                  c.range ? Shape{3, c.config.heads} : none}},
      .tolerance = {.f32 = 4e-6, .bf16 = 3e-2},
      .wide_inputs = {2, 3, 4},
      .saves_freely = {Attend::kKeyValue, Attend::kPrefixKey, Attend::kPrefixValue, Attend::kBias},
  });
}

const std::vector<Sequence> kRagged = {
    {0, 5, 0, 5, 0, 3}, {5, 1, 5, 1, 0, 3}, {6, 0, 6, 0, 0, 0}, {6, 9, 6, 9, 3, 1}, {15, 40, 15, 40, 0, 0}};

TEST(Ops, AttendCausal) {
  check({{.heads = 2, .kv_heads = 2, .head_size = 6, .scale = 0.4f, .causal = true}, kRagged}, 55, 0, 0);
}
TEST(Ops, AttendBothWays) { check({{.heads = 2, .kv_heads = 2, .head_size = 16, .scale = 0.25f}, kRagged}, 55, 0, 0); }
TEST(Ops, AttendGrouped) {
  check({{.heads = 6, .kv_heads = 2, .head_size = 5, .scale = 0.4f, .causal = true}, kRagged}, 55, 0, 0);
}
TEST(Ops, AttendPrefix) {
  check({{.heads = 4, .kv_heads = 2, .head_size = 16, .scale = 0.3f, .causal = true}, kRagged, true}, 55, 0, 4);
}
TEST(Ops, AttendOneElement) {
  check({{.heads = 1, .kv_heads = 1, .head_size = 1, .causal = true}, {{0, 1, 0, 1, 0, 0}}}, 1, 0, 0);
}
TEST(Ops, AttendDropout) {
  check({{.heads = 2,
          .kv_heads = 1,
          .head_size = 8,
          .scale = 0.3f,
          .causal = true,
          .dropout = {0.3f, random_key(3, "attention")}},
         kRagged,
         true},
        55, 0, 4);
}
TEST(Ops, AttendRelativeBias) {
  check({{.heads = 3, .kv_heads = 3, .head_size = 4, .scale = 1}, kRagged, false, 4}, 55, 0, 0);
  check({{.heads = 2, .kv_heads = 2, .head_size = 4, .scale = 1, .causal = true}, kRagged, true, 4}, 55, 0, 4);
}

// Queries of one stack, keys of another, with a row that belongs to no sequence.
const std::vector<Sequence> kCross = {{0, 3, 0, 7, 0, 2}, {3, 1, 8, 4, 2, 2}, {4, 6, 12, 33, 0, 0}};
TEST(Ops, AttendCross) {
  check({{.heads = 2, .kv_heads = 2, .head_size = 8, .scale = 0.3f}, kCross}, 10, 45, 0);
  check({{.heads = 2, .kv_heads = 1, .head_size = 64, .scale = 0.1f}, kCross, true}, 10, 45, 4);
}

// Decoding: one new query, keys with spare capacity behind them, two beams on the same keys.
TEST(Attention, DecodesLikeTheWhole) {
  const AttentionConfig config{.heads = 4, .kv_heads = 2, .head_size = 16, .scale = 0.25f, .causal = true};
  const AttendCase whole{config, {{0, 40, 0, 40, 0, 0}}};
  const Array qkv = random_array({40, 128}, 8);
  const Array full = whole.defined(qkv, {}, {}, {}, {});
  Array last({2, 64}), kv({50, 64});
  for (int64_t d = 0; d < 64; ++d) last(0, d) = last(1, d) = qkv(39, d);
  for (int64_t n = 0; n < 40; ++n)
    for (int64_t d = 0; d < 64; ++d) kv(n, d) = qkv(n, 64 + d);
  const AttendCase step{config, {{0, 1, 0, 40, 0, 0}, {1, 1, 0, 40, 0, 0}}};
  for (const Device device : {Device::cpu(), Device::gpu()}) {
    if (device.is_gpu() && gpu::device_count() == 0) continue;
    const Var y = apply(step, Var(to_tensor(last, DType::f32, device)), Var(to_tensor(kv, DType::f32, device)), Var(),
                        Var(), Var());
    const Array got = to_array(y.value);
    for (int64_t b = 0; b < 2; ++b)
      for (int64_t d = 0; d < 64; ++d) EXPECT_NEAR(got(b, d), full(39, d), 2e-6);
  }
}

}  // namespace
}  // namespace cambium::testing
