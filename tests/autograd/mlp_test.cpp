// The rows of two layers as one operation in the table of op tests.
#include "autograd/ops/mlp.h"

#include "autograd/ops/elementwise.h"
#include "tests/support/op_case.h"

namespace cambium::testing {
namespace {

double gelu_tanh(double x) { return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }
double gelu(double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2))); }

void check(const char* name, Activation kind, double (*act)(double)) {
  check_op(OpCase{
      .name = name,
      .op = Mlp{kind},
      .definition =
          [act](const Array& x, const Array& up, const Array& up_bias, const Array& down, const Array& down_bias) {
            Array hidden = linear(x, up, up_bias);
            for (double& v : hidden.values) v = act(v);
            return linear(hidden, down, down_bias);
          },
      .shapes = {{{1, 1}, {1, 1}, {1}, {1, 1}, {1}},
                 {{3, 5}, {7, 5}, {7}, {5, 7}, {5}},
                 {{33, 17}, {40, 17}, {}, {9, 40}, {}},
                 {{40, 24}, {96, 24}, {96}, {24, 96}, {}},
                 {{0, 4}, {6, 4}, {6}, {4, 6}, {4}}},
      .tolerance = {.f32 = 4e-6, .bf16 = 3e-2},
      .wide_inputs = {2, 4},
  });
}

TEST(Ops, MlpGeluTanh) { check("mlp, gelu_tanh", Activation::gelu_tanh, gelu_tanh); }
TEST(Ops, MlpGelu) { check("mlp, gelu", Activation::gelu, gelu); }

// What the three operations give, bit for bit, whatever is wanted.
TEST(Mlp, IsLinearActivateLinear) {
  for (const DType type : {DType::f32, DType::bf16})
    for (const Device device : {Device::cpu(), Device::gpu()}) {
      if (device.is_gpu() && gpu::device_count() == 0) continue;
      const std::vector<Shape> shapes{{37, 24}, {96, 24}, {96}, {24, 96}, {24}};
      for (const int wanted : {1, 2, 4, 8, 16, 6, 24, 31}) {  // bits: which inputs
        const auto run = [&](bool whole) {
          Tape tape;
          std::vector<Var> in;
          for (size_t i = 0; i < shapes.size(); ++i) {
            const DType t = shapes[i].rank() == 1 ? DType::f32 : type;
            const Tensor value = to_tensor(random_array(shapes[i], 5 + i), t, device);
            in.push_back(wanted >> i & 1 ? tape.leaf(value) : Var(value));
          }
          const Var y =
              whole
                  ? apply(Mlp{Activation::gelu_tanh}, in[0], in[1], in[2], in[3], in[4])
                  : apply(Linear{}, apply(Activate{Activation::gelu_tanh}, apply(Linear{}, in[0], in[1], in[2]), Var()),
                          in[3], in[4]);
          tape.backward(y, to_tensor(random_array({37, 24}, 11), type, device));
          std::vector<Tensor> all{y.value};
          for (size_t i = 0; i < shapes.size(); ++i)
            if (wanted >> i & 1) all.push_back(tape.gradient(in[i]));
          return all;
        };
        const std::vector<Tensor> one = run(true), three = run(false);
        ASSERT_EQ(one.size(), three.size());
        for (size_t i = 0; i < one.size(); ++i)
          EXPECT_TRUE(same_bits(one[i], three[i])) << name_of(type) << ", wanted " << wanted << ", result " << i;
      }
    }
}

}  // namespace
}  // namespace cambium::testing
