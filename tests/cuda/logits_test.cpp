// Cross entropy and what generation does with logits: the GPU side against the CPU side.
#include <cmath>

#include "core/kernels/cross_entropy.h"
#include "core/kernels/generation.h"
#include "tests/cuda/sides.h"

namespace cambium::testing {
namespace {

const std::vector<Shape> kShapes = {{0, 5}, {1, 1}, {3, 2}, {2, 7}, {3, 64}, {2, 2049}, {2, 5003}};

Array logits_of(const Shape& shape, uint64_t seed) { return random_array(shape, seed, 4); }

TEST(GpuLogits, CrossEntropy) {
  for (const Shape& shape : kShapes)
    for (const int margin : {0, 4, 3})
      for (const CrossEntropyConfig& config :
           {CrossEntropyConfig{}, CrossEntropyConfig{0.25f, 0.1f, 1e-3f, true}, CrossEntropyConfig{1, 0, 0, false}})
        expect_sides_agree(
            [&](Stream& s) {
              const Strided logits = strided(logits_of(shape, 1), DType::f32, s.device, margin, margin);
              std::vector<int32_t> labels;
              for (int64_t r = 0; r < shape[0]; ++r) labels.push_back(int32_t((r * 31 + shape[1] - 1) % shape[1]));
              const Tensor loss = Tensor::empty({shape[0]}, DType::f32, s.device);
              DISPATCH(cross_entropy_rows, s)(s, config, logits, integers(labels, s.device), loss);
              return std::vector{logits.all, loss};
            },
            2e-6, text("cross_entropy ", shape, ", margin ", margin));
}

TEST(GpuLogits, CrossEntropyOfMaskedAndLargeLogits) {
  expect_sides_agree(
      [](Stream& s) {
        Array x({2, 6});
        x.values = {-INFINITY, 2, -INFINITY, 3, -INFINITY, 1, 1000, -1000, 999, 0, 1, 2};
        const Tensor logits = to_tensor(x, DType::f32, s.device), loss = Tensor::empty({2}, DType::f32, s.device);
        DISPATCH(cross_entropy_rows, s)(s, {}, logits, integers({3, 2}, s.device), loss);
        return std::vector{logits, loss};
      },
      2e-6, "cross_entropy");
}

TEST(GpuLogits, LogSoftmax) {
  for (const Shape& shape : kShapes)
    for (const int margin : {0, 3})
      expect_sides_agree(
          [&](Stream& s) {
            const Strided x = strided(logits_of(shape, 1), DType::f32, s.device, margin, margin);
            const Tensor y = Tensor::empty(shape, DType::f32, s.device);
            DISPATCH(log_softmax, s)(s, x, y);
            DISPATCH(log_softmax, s)(s, x, x);
            return std::vector{y, x.all};
          },
          2e-6, text("log_softmax ", shape));
}

TEST(GpuLogits, Mask) {
  expect_sides_equal(
      [](Stream& s) {
        const Tensor x = to_tensor(logits_of({4, 9}, 1), DType::f32, s.device);
        DISPATCH(mask_logits, s)
        (s, integers({0, 3, 3}, s.device), integers({8, 0, 5}, s.device), x);
        DISPATCH(mask_logits, s)(s, integers({}, s.device), integers({}, s.device), x);
        return std::vector{x};
      },
      "mask_logits");
}

// Rows of few different values: equal ones come by ascending column. Both zeros are equal.
Array tied(const Shape& shape) {
  Array x(shape);
  for (int64_t i = 0; i < x.size(); ++i) x(i) = i % 11 == 0 ? -INFINITY : i % 5 == 0 ? -0.0 : double(i * 7 % 3) - 1;
  return x;
}

TEST(GpuLogits, TopK) {
  for (const Shape& shape : kShapes)
    for (const int k : {1, 2, 7, 60, 2049})
      for (const bool ties : {false, true}) {
        if (k > shape[1] || (k > 60 && shape[1] > 2049)) continue;
        expect_sides_equal(
            [&](Stream& s) {
              const Strided x = strided(ties ? tied(shape) : logits_of(shape, 1), DType::f32, s.device, 1, 0);
              const Tensor value = Tensor::empty({shape[0], k}, DType::f32, s.device);
              const Tensor index = Tensor::empty({shape[0], k}, DType::i32, s.device);
              DISPATCH(top_k, s)(s, x, k, value, index);
              return std::vector{value, index};
            },
            text("top_k ", k, " of ", shape, ties ? " with ties" : ""));
      }
}

TEST(GpuLogits, Samples) {
  for (const Shape& shape : {Shape{16, 1}, Shape{16, 7}, Shape{16, 300}, Shape{6, 5003}})
    for (const SamplingConfig& config : {SamplingConfig{}, SamplingConfig{0.7f, 0.9f, 0}, SamplingConfig{1.5f, 1, 5},
                                         SamplingConfig{1, 0.5f, 20}, SamplingConfig{1, 0.01f, 0}})
      expect_sides_equal(
          [&](Stream& s) {
            Array uniform({shape[0]});
            for (int64_t r = 0; r < shape[0]; ++r)
              uniform(r) = double(unit_float(philox({7, 7}, uint32_t(r), 0, 0, 0).word[0]));
            const Tensor x = to_tensor(logits_of(shape, 5), DType::f32, s.device),
                         token = Tensor::empty({shape[0]}, DType::i32, s.device);
            DISPATCH(sample_tokens, s)
            (s, config, x, to_tensor(uniform, DType::f32, s.device), token);
            return std::vector{token};
          },
          text("sample_tokens ", shape, " top_k ", config.top_k, " top_p ", config.top_p));
}

// Where the temperature leaves one probability that is a number, or none, the most likely token is taken, as on the
// CPU.
TEST(GpuLogits, SamplesTheMostLikelyWhereNothingElseIs) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  Stream& s = current_stream(Device::gpu());
  Array x({2, 10}), uniform({2});
  for (int64_t i = 0; i < 20; ++i) x.values[size_t(i)] = double(i * 7 % 10);
  uniform.values = {0.1, 0.99};
  for (const float temperature : {0.f, 1e-30f})
    for (const int top_k : {0, 3}) {
      const Tensor token = Tensor::empty({2}, DType::i32, s.device);
      gpu::sample_tokens(s, {temperature, 1.f, top_k}, to_tensor(x, DType::f32, s.device),
                         to_tensor(uniform, DType::f32, s.device), token);
      const Tensor host = token.to(Device::cpu());
      EXPECT_EQ(host.span<int32_t>()[0], 7) << temperature << " " << top_k;
      EXPECT_EQ(host.span<int32_t>()[1], 7) << temperature << " " << top_k;
    }
}

// Whatever the logits are, the token is one of the vocabulary.
TEST(GpuLogits, SamplesFromBrokenLogits) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  Stream& s = current_stream(Device::gpu());
  for (const double broken : {double(NAN), double(INFINITY), -double(INFINITY)}) {
    Array x({2, 10}), uniform({2});
    for (double& v : x.values) v = broken;
    uniform.values = {0.1, 0.99};
    const Tensor token = Tensor::empty({2}, DType::i32, s.device);
    gpu::sample_tokens(s, {1, 0.9f, 3}, to_tensor(x, DType::f32, s.device), to_tensor(uniform, DType::f32, s.device),
                       token);
    const Tensor host = token.to(Device::cpu());
    for (const int32_t t : host.span<int32_t>()) EXPECT_TRUE(t >= 0 && t < 10) << t << " from " << broken;
  }
}

}  // namespace
}  // namespace cambium::testing
