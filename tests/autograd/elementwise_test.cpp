// The rows of element-wise ops in the table of op tests.
#include "autograd/ops/elementwise.h"

#include "tests/support/op_case.h"

namespace cambium::testing {
namespace {

Array map(const Array& x, const std::function<double(double)>& f) {
  Array y = x;
  for (double& v : y.values) v = f(v);
  return y;
}

TEST(Ops, Add) {
  check_op(OpCase{
      .name = "add",
      .op = Add{0.75f},
      .definition =
          +[](const Array& a, const Array& b) {
            Array y = a;
            for (int64_t i = 0; i < y.size(); ++i) y(i) += 0.75 * b(i);
            return y;
          },
      .shapes = {{{1, 1}, {1, 1}}, {{7, 33}, {7, 33}}, {{3, 40000}, {3, 40000}}, {{0, 5}, {0, 5}}},
  });
}

TEST(Ops, Multiply) {
  check_op(OpCase{
      .name = "multiply",
      .op = Multiply{-1.5f},
      .definition = +[](const Array& x) { return map(x, [](double v) { return -1.5 * v; }); },
      .shapes = {{{1, 1}}, {{7, 33}}, {{0, 5}}},
  });
}

double activation(Activation kind, double x) {
  switch (kind) {
    case Activation::relu: return std::max(x, 0.0);
    case Activation::gelu: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_tanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::silu: return x / (1 + std::exp(-x));
    case Activation::tanh: return std::tanh(x);
  }
  return NAN;
}

constexpr Activation kAll[] = {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu,
                               Activation::tanh};

TEST(Ops, Activate) {
  for (const Activation kind : kAll)
    check_op(OpCase{
        .name = "activate",
        .op = Activate{kind},
        .definition =
            [=](const Array& x, const Array& bias) {
              Array y = x;
              for (int64_t n = 0; n < x.rows(); ++n)
                for (int64_t d = 0; d < x.cols(); ++d)
                  y(n, d) = activation(kind, x(n, d) + (bias.size() ? bias(d) : 0));
              return y;
            },
        .shapes = {{{1, 1}, {1}}, {{5, 37}, {37}}, {{33, 64}, {}}, {{0, 8}, {8}}},
        .wide_inputs = {1},
    });
}

TEST(Ops, ActivateGated) {
  for (const Activation kind : kAll)
    check_op(OpCase{
        .name = "activate_gated",
        .op = ActivateGated{kind},
        .definition =
            [=](const Array& x, const Array& bias) {
              const int64_t F = x.cols() / 2;
              Array y({x.rows(), F});
              for (int64_t n = 0; n < x.rows(); ++n)
                for (int64_t d = 0; d < F; ++d)
                  y(n, d) = activation(kind, x(n, d) + (bias.size() ? bias(d) : 0)) *
                            (x(n, F + d) + (bias.size() ? bias(F + d) : 0));
              return y;
            },
        .shapes = {{{1, 2}, {2}}, {{5, 74}, {}}, {{33, 64}, {64}}, {{0, 8}, {}}},
        .wide_inputs = {1},
    });
}

// Extreme arguments: no overflow in between, the right limits.
TEST(Activations, Extremes) {
  const std::vector<float> values = {-1e30f, -200, -88, -20, -1e-20f, 0, 1e-20f, 20, 88, 200, 1e30f};
  for (const Activation kind : kAll) {
    const Tensor x = Tensor::of(values).reshape({1, int64_t(values.size())});
    const Tensor y = apply(Activate{kind}, Var(x), Var()).value;
    for (size_t i = 0; i < values.size(); ++i) {
      const double expected = activation(kind, values[i]);
      EXPECT_NEAR(y.data<float>()[i], expected, 1e-6 * std::abs(expected) + 1e-12)
          << name_of(kind) << " of " << values[i];
    }
  }
}

Tensor token_ids(int64_t rows, Device device = Device::cpu()) {
  std::vector<int32_t> ids;
  for (int64_t n = 0; n < rows; ++n) ids.push_back(int32_t(n / 5 + 100)), ids.push_back(int32_t(n % 5));
  return Tensor::of(std::span<const int32_t>(ids), {rows, 2}, device);
}

// The scalar definition of the mask, straight from the signature's comment.
Array dropout_mask(const DropoutConfig& config, int64_t rows, int64_t cols) {
  Array mask({rows, cols});
  const Tensor ids = token_ids(rows);
  for (int64_t n = 0; n < rows; ++n)
    for (int64_t d = 0; d < cols; ++d) {
      const int32_t* id = ids.data<int32_t>() + 2 * n;
      const RandomWords w = philox(config.key, channel_counter(uint32_t(d)), uint32_t(id[1]), uint32_t(id[0]), 0);
      mask(n, d) = w.word[channel_word(uint32_t(d))] >= drop_threshold(config.probability)
                       ? 1 / (1 - double(config.probability))
                       : 0;
    }
  return mask;
}

TEST(Ops, Dropout) {
  const DropoutConfig config{0.25f, random_key(7, "test")};
  for (const int64_t rows : {1, 33})
    for (const int64_t cols : {1, 63, 200})
      for (const bool residual : {false, true})
        for (const Device device : {Device::cpu(), Device::gpu()}) {
          if (device.is_gpu() && gpu::device_count() == 0) continue;
          const Array x = random_array({rows, cols}, 5), r = random_array({rows, cols}, 6),
                      dy = random_array({rows, cols}, 7);
          Tape tape;
          const Var vx = tape.leaf(to_tensor(x, DType::f32, device)), vr = tape.leaf(to_tensor(r, DType::f32, device));
          const Var y = apply(DropoutAdd{config, token_ids(rows, device)}, vx, residual ? vr : Var());
          tape.backward(y, to_tensor(dy, DType::f32, device));
          const Array mask = dropout_mask(config, rows, cols);
          Array expected = x, gradient = dy;
          for (int64_t i = 0; i < x.size(); ++i) {
            expected(i) = x(i) * mask(i) + (residual ? r(i) : 0);
            gradient(i) = dy(i) * mask(i);
          }
          detail::expect_near(to_array(y.value), expected, 1e-6, "dropout");
          detail::expect_near(to_array(tape.gradient(vx)), gradient, 1e-6, "dropout gradient");
          if (residual) detail::expect_near(to_array(tape.gradient(vr)), dy, 1e-6, "residual gradient");
        }
}

TEST(Dropout, KeepsTheRightShare) {
  const Array mask = dropout_mask({0.1f, random_key(1, "share")}, 500, 400);
  double kept = 0;
  for (const double m : mask.values) kept += m > 0;
  EXPECT_NEAR(kept / double(mask.size()), 0.9, 0.003);
}

}  // namespace
}  // namespace cambium::testing
