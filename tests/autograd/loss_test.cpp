// The rows of the loss in the table of op tests.
#include "autograd/ops/lm_head_loss.h"
#include "autograd/ops/squared_error.h"

#include "tests/support/op_case.h"

namespace cambium::testing {
namespace {

struct LossCase {
  CrossEntropyConfig config;
  using Saved = LmHeadLoss::Saved;

  static int32_t label(int64_t r, int64_t V) { return int32_t(r * 7 % V); }
  Tensor forward(Saved& saved, Needs<3> needs, const Tensor& x, const Tensor& w, const Tensor& b) const {
    std::vector<int32_t> label_of;
    for (int64_t r = 0; r < x.rows(); ++r) label_of.push_back(label(r, w.rows()));
    return LmHeadLoss{Tensor::of(label_of, x.device()), config}.forward(saved, needs, x, w, b);
  }
  void backward(const Saved& saved, Tensor dy, Grads<3> grads) const {
    LmHeadLoss{}.backward(saved, std::move(dy), grads);
  }
};

Array defined(const CrossEntropyConfig& config, const Array& x, const Array& w, const Array& b) {
  const double smoothing = double(config.label_smoothing), V = double(w.rows());
  Array loss({1});
  for (int64_t r = 0; r < x.rows(); ++r) {
    std::vector<double> logit(size_t(w.rows()));
    double total = 0, mean = 0;
    for (int64_t v = 0; v < w.rows(); ++v) {
      logit[size_t(v)] = b.size() ? b(v) : 0;
      for (int64_t d = 0; d < x.cols(); ++d) logit[size_t(v)] += x(r, d) * w(v, d);
      total += std::exp(logit[size_t(v)]);
      mean += logit[size_t(v)] / V;
    }
    const double lse = std::log(total), target = logit[size_t(LossCase::label(r, w.rows()))];
    loss(0) += double(config.gradient_scale) *
               (lse - (1 - smoothing) * target - smoothing * mean + double(config.z_loss) * lse * lse);
  }
  return loss;
}

TEST(Ops, LmHeadLoss) {
  for (const CrossEntropyConfig config :
       {CrossEntropyConfig{.gradient_scale = 0.125f},
        CrossEntropyConfig{.gradient_scale = 1, .label_smoothing = 0.125f, .z_loss = 0.0625f}})
    check_op(OpCase{
        .name = "lm_head_loss",
        .op = LossCase{config},
        .definition = [=](const Array& x, const Array& w, const Array& b) { return defined(config, x, w, b); },
        .shapes = {{{1, 1}, {2, 1}, {2}},
                   {{5, 8}, {37, 8}, {37}},
                   {{300, 6}, {50, 6}, {}},
                   {{129, 20}, {33, 20}, {}},
                   {{530, 3}, {17, 3}, {17}}},
        .tolerance = {.f32 = 1e-5, .bf16 = 3e-2},
        .wide_inputs = {2},
    });
}

struct NumberCase {
  float scale = 1;
  using Saved = SquaredError::Saved;

  static double target(int64_t r) { return double(r * 5 % 7) / 4; }
  Tensor forward(Saved& saved, Needs<3> needs, const Tensor& x, const Tensor& w, const Tensor& b) const {
    std::vector<float> all;
    for (int64_t r = 0; r < x.rows(); ++r) all.push_back(float(target(r)));
    const Tensor targets = Tensor::of(all, x.device()).to(accumulator(x.dtype()));
    return SquaredError{targets.reshape({x.rows(), 1}), scale}.forward(saved, needs, x, w, b);
  }
  void backward(const Saved& saved, Tensor dy, Grads<3> grads) const {
    SquaredError{}.backward(saved, std::move(dy), grads);
  }
};

TEST(Ops, SquaredError) {
  check_op(OpCase{
      .name = "squared_error",
      .op = NumberCase{0.25f},
      .definition =
          [](const Array& x, const Array& w, const Array& b) {
            const Array y = linear(x, w, b);
            Array loss({1});
            for (int64_t r = 0; r < x.rows(); ++r) {
              const double error = y(r, 0) - NumberCase::target(r);
              loss(0) += 0.25 * error * error;
            }
            return loss;
          },
      .shapes = {{{1, 1}, {1, 1}, {1}}, {{5, 8}, {1, 8}, {1}}, {{130, 20}, {1, 20}, {}}},
      .tolerance = {.f32 = 1e-5, .bf16 = 3e-2},
      .wide_inputs = {2},
  });
}

TEST(CrossEntropy, LargeLogitsDoNotOverflow) {
  const Tensor logits = Tensor::of(std::vector<float>{1e4f, -1e4f, 0}).reshape({1, 3}),
               loss = Tensor::empty({1}, DType::f32);
  cpu::cross_entropy_rows(logits.stream(), {}, logits, Tensor::of(std::vector<int32_t>{1}), loss);
  EXPECT_FLOAT_EQ(loss.data<float>()[0], 2e4f);
  EXPECT_FLOAT_EQ(logits.data<float>()[0], 1);
  EXPECT_FLOAT_EQ(logits.data<float>()[1], -1);
}

}  // namespace
}  // namespace cambium::testing
