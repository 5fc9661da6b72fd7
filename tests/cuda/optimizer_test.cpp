// Optimizer updates and gradient norms: the GPU side against the CPU side, for lists of tensors of every size.
#include "core/kernels/optimizer.h"

#include <cmath>

#include "core/kernels/elementwise.h"
#include "tests/cuda/sides.h"

namespace cambium::testing {
namespace {

// Sizes of no, one, a few and many elements, with groups of four and without; more tensors than a launch takes; one
// of several pieces.
std::vector<int64_t> sizes() {
  std::vector<int64_t> all = {0, 1, 3, 4, 31, 64, 1000, 4096, 4097, 20003};
  for (int64_t i = 0; i < 100; ++i) all.push_back(i % 7 + 1);
  return all;
}

View flat(const Tensor& t) { return t ? View(t.reshape({t.size()})) : View(); }

// Tensors that train, their gradients and state, each `gap` elements into its buffer: aligned or not.
struct List {
  Stream& stream;
  int64_t gap;
  std::vector<Tensor> kept;                       // whole buffers: what is compared
  std::vector<std::pair<Tensor, Tensor>> copies;  // (value, working)

  Tensor make(const Shape& shape, uint64_t seed, double deviation = 1, bool positive = false) {
    Array a = random_array({shape.size() + gap}, seed, deviation);
    if (positive)
      for (double& v : a.values) v = std::abs(v) + 1e-3;
    kept.push_back(to_tensor(a, DType::f32, stream.device));
    return kept.back().rows(gap, gap + shape.size()).reshape(shape);
  }
  // The working copy of a value, for every other one.
  Tensor working(const Tensor& value) {
    if (copies.size() % 2 == 1) return copies.emplace_back().second;
    const Tensor buffer = Tensor::zeros({value.size() + gap}, DType::bf16, stream.device);
    return copies.emplace_back(value, buffer.rows(gap, gap + value.size()).reshape(value.shape())).second;
  }
  // Tensors of all sizes; `states` of the two state tensors are there, the second one positive.
  std::vector<OptimizerTensor> tensors(int states) {
    std::vector<OptimizerTensor> all;
    for (const int64_t n : sizes()) {
      const uint64_t seed = all.size() * 10;
      const Tensor value = make({n}, seed), gradient = make({n}, seed + 1);
      const Tensor first = states > 0 ? make({n}, seed + 2) : Tensor(),
                   second = states > 1 ? make({n}, seed + 3, 1, true) : Tensor();
      all.push_back({flat(value), flat(gradient), flat(first), flat(second), flat(working(value))});
    }
    return all;
  }
  std::vector<Tensor> outputs() const {
    for (const auto& [value, working] : copies) EXPECT_TRUE(!working || same_bits(value.to(DType::bf16), working));
    return kept;
  }
};

// What a step's judgement says: the gradients' factor, and 1 for an update, 0 for none.
Tensor gate(double factor, double open, Device device) { return Tensor::of(std::vector<double>{factor, open}, device); }

TEST(GpuOptimizer, AdamW) {
  for (const int64_t gap : {0, 1})
    expect_sides_agree(
        [&](Stream& s) {
          List list{s, gap, {}, {}};
          const std::vector<OptimizerTensor> tensors = list.tensors(2);
          const Tensor open = gate(0.5, 1, s.device);
          const AdamWStep step{.lr = 0.01, .decay = 0.1, .correction1 = 0.2, .correction2 = 0.01, .gate = open};
          DISPATCH(adamw, s)(s, step, tensors);
          DISPATCH(adamw, s)(s, step, tensors);
          return list.outputs();
        },
        2e-6, text("adamw, gap ", gap));
}

TEST(GpuOptimizer, Sgd) {
  for (const int64_t gap : {0, 1})
    for (const double momentum : {0.0, 0.9})
      expect_sides_agree(
          [&](Stream& s) {
            List list{s, gap, {}, {}};
            const std::vector<OptimizerTensor> tensors = list.tensors(momentum != 0 ? 1 : 0);
            const Tensor open = gate(0.5, 1, s.device);
            DISPATCH(sgd, s)(s, {.lr = 0.1, .momentum = momentum, .decay = 0.1, .gate = open}, tensors);
            return list.outputs();
          },
          2e-6, text("sgd, momentum ", momentum));
}

// Matrices of one row and column up to several row blocks, column blocks and pieces; more than a launch takes.
TEST(GpuOptimizer, Adafactor) {
  std::vector<Shape> shapes = {{1, 1}, {2, 3}, {33, 65}, {130, 300}, {65, 257}, {0, 4}};
  for (int64_t i = 0; i < 50; ++i) shapes.push_back({i % 3 + 1, i % 5 + 1});
  for (const bool factored : {true, false})
    for (const bool options : {true, false})
      expect_sides_agree(
          [&](Stream& s) {
            List list{s, 0, {}, {}};
            std::vector<AdafactorTensor> tensors;
            for (const Shape& shape : shapes) {
              const uint64_t seed = tensors.size() * 10;
              const bool rows = factored && shape[0] > 1 && shape[1] > 1;
              const Tensor value = list.make(shape, seed), gradient = list.make(shape, seed + 1);
              const Tensor first = rows ? list.make({shape[0]}, seed + 2, 1, true) : Tensor(),
                           second = list.make({rows ? shape[1] : shape.size()}, seed + 3, 1, true);
              tensors.push_back({{value, gradient, first, second, list.working(value)}});
            }
            const Tensor open = gate(0.5, 1, s.device);
            const AdafactorStep step{.lr = 0.3,
                                     .beta2 = 0.9,
                                     .clip = 0.5,
                                     .decay = options ? 0.1 : 0,
                                     .scale_by_parameter = options,
                                     .decay_times_lr = options,
                                     .gate = open};
            DISPATCH(adafactor, s)(s, step, tensors);
            DISPATCH(adafactor, s)(s, step, tensors);
            return list.outputs();
          },
          1e-5, text("adafactor, factored ", factored, ", options ", options));
}

// The product of both means would vanish in float32; the update is 1 in size all the same.
TEST(GpuOptimizer, AdafactorOfTinyGradients) {
  const auto run = [](Stream& s) {
    List list{s, 0, {}, {}};
    const Tensor value = list.make({6, 5}, 1), gradient = list.make({6, 5}, 2, 1e-13);
    const Tensor first = Tensor::zeros({6}, DType::f32, s.device), second = Tensor::zeros({5}, DType::f32, s.device);
    const std::vector<AdafactorTensor> tensors = {{{value, gradient, first, second, {}}}};
    DISPATCH(adafactor, s)(s, {.lr = 0.1, .beta2 = 0}, tensors);
    return std::vector{value};
  };
  expect_sides_agree(run, 1e-5, "adafactor");
  const Array before = random_array({6, 5}, 1), after = to_array(run(current_stream(Device::cpu()))[0]);
  double squares = 0;
  for (int64_t i = 0; i < before.size(); ++i) squares += std::pow((after(i) - before(i)) / 0.1, 2);
  EXPECT_NEAR(std::sqrt(squares / 30), 1, 0.1);
}

TEST(GpuOptimizer, SquareSums) {
  for (const int64_t gap : {0, 1})
    expect_sides_agree(
        [&](Stream& s) {
          List list{s, gap, {}, {}};
          std::vector<ConstView> views;
          for (const int64_t n : sizes()) views.push_back(flat(list.make({n}, uint64_t(n))));
          const Tensor sums = Tensor::empty({int64_t(views.size())}, DType::f64, s.device);
          DISPATCH(square_sums, s)(s, views, sums);
          return std::vector{sums};
        },
        1e-12, text("square_sums, gap ", gap));
}

// What is not finite shows in its own tensor's sum, wherever it stands; large values do not overflow.
TEST(GpuOptimizer, SquareSumsOfLargeAndBrokenValues) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  Stream& s = current_stream(Device::gpu());
  std::vector<Tensor> tensors;
  for (const float bad : {INFINITY, -INFINITY, NAN, 3e38f})
    for (const int64_t place : {0, 4999, 9999}) {
      Array a({10000});
      a(place) = double(bad);
      tensors.push_back(to_tensor(a, DType::f32, s.device));
    }
  std::vector<ConstView> views;
  for (const Tensor& t : tensors) views.push_back(flat(t));
  const Tensor sums = Tensor::empty({int64_t(views.size())}, DType::f64, s.device);
  gpu::square_sums(s, views, sums);
  const Array seen = to_array(sums);
  for (int64_t i = 0; i < 9; ++i) EXPECT_FALSE(std::isfinite(seen(i))) << i;
  for (int64_t i = 9; i < 12; ++i) EXPECT_EQ(seen(i), double(3e38f) * double(3e38f)) << i;
}

// A shut gate keeps values, state and working copies, to the bit, on both sides.
TEST(GpuOptimizer, NoUpdateThroughAShutGate) {
  expect_sides_equal(
      [](Stream& s) {
        List list{s, 0, {}, {}};
        const Tensor shut = gate(0.5, 0, s.device);
        std::vector<OptimizerTensor> tensors = list.tensors(2);
        for (const auto& [value, working] : list.copies)
          if (working) DISPATCH(convert, s)(s, value, working);
        std::vector<AdafactorTensor> whole, factored;
        for (const OptimizerTensor& t : tensors) whole.push_back({{t.value, t.gradient, {}, t.second, t.working}});
        const Tensor matrix = list.make({33, 65}, 1), gradient = list.make({33, 65}, 2),
                     rows = list.make({33}, 3, 1, true), columns = list.make({65}, 4, 1, true);
        factored.push_back({{matrix, gradient, rows, columns, {}}});
        std::vector<Tensor> before;
        for (const Tensor& t : list.kept) before.push_back(t.clone());
        DISPATCH(adamw, s)(s, {.lr = 0.1, .decay = 0.1, .gate = shut}, tensors);
        DISPATCH(adafactor, s)(s, {.lr = 0.1, .decay = 0.1, .gate = shut}, whole);
        DISPATCH(adafactor, s)(s, {.lr = 0.1, .decay = 0.1, .gate = shut}, factored);
        for (OptimizerTensor& t : tensors) t.second = View();
        DISPATCH(sgd, s)(s, {.lr = 0.1, .momentum = 0.5, .decay = 0.1, .gate = shut}, tensors);
        for (size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(same_bits(list.kept[i], before[i])) << i;
        return list.outputs();
      },
      "a shut gate");
}

// Sums of more tensors than a block has threads, and of none; with and without clipping; each kind of broken step,
// after which the gate stays shut.
TEST(GpuOptimizer, JudgeStep) {
  struct Step {
    std::vector<double> sums;
    std::vector<float> losses;
    double clip;
  };
  const double nan = std::nan(""), infinite = INFINITY;
  std::vector<double> many(700), broken(700, 1.5);
  for (size_t i = 0; i < many.size(); ++i) many[i] = std::ldexp(1 + 0.1 * double(i % 7), int(i % 40) - 20);
  broken[300] = infinite, broken[301] = nan;
  const std::vector<Step> steps = {
      {many, {0.1f, 0.2f, 0.3f}, 0}, {many, {1}, 1},   {{9, 16}, {}, 5}, {{9, 16}, {2}, 4.9},      {{}, {2}, 1},
      {{1, 2}, {1, NAN}, 1},         {{1, 2}, {1}, 1}, {broken, {1}, 1}, {{4, nan}, {INFINITY}, 1}};
  for (size_t first = 0; first < steps.size(); ++first)  // the run starts at each of them
    expect_sides_equal(
        [&](Stream& s) {
          std::vector<Tensor> seen;
          const Tensor open = gate(1, 1, s.device);
          for (size_t i = first; i < steps.size(); ++i) {
            const Tensor sums = Tensor::of(steps[i].sums, s.device), losses = Tensor::of(steps[i].losses, s.device);
            const Tensor report = Tensor::empty({3}, DType::f64, s.device);
            DISPATCH(judge_step, s)(s, steps[i].clip, sums, losses, open, report);
            // As text, NaN is equal to NaN.
            const Tensor r = report.to(Device::cpu()), g = open.to(Device::cpu());
            const auto bits = [](double v) { return std::isnan(v) ? 7e77 : v; };
            seen.push_back(
                Tensor::of(std::vector<double>{bits(r.data<double>()[0]), bits(r.data<double>()[1]),
                                               r.data<double>()[2], bits(g.data<double>()[0]), g.data<double>()[1]}));
          }
          return seen;
        },
        text("judge_step from ", first));
  Stream& s = current_stream(Device::cpu());
  const Tensor open = gate(1, 1, s.device), report = Tensor::empty({3}, DType::f64);
  const auto judge = [&](const Step& step) {
    const Tensor sums = Tensor::of(step.sums), losses = Tensor::of(step.losses);
    cpu::judge_step(s, step.clip, sums, losses, open, report);
    const double *r = report.data<double>(), *g = open.data<double>();
    return std::vector<double>{r[0], r[1], r[2], g[0], g[1]};
  };
  EXPECT_EQ(judge(steps[2]), (std::vector<double>{0, 5, -1, 5 / (5 + 1e-6), 1}));
  EXPECT_EQ(judge(steps[3]), (std::vector<double>{2, 5, -1, 4.9 / (5 + 1e-6), 1}));
  EXPECT_EQ(judge(steps[5])[4], 0);
  EXPECT_EQ(judge(steps[6]), (std::vector<double>{1, std::sqrt(3.0), -1, 1 / (std::sqrt(3.0) + 1e-6),
                                                  0}));  // a good step behind a bad one
  EXPECT_EQ(judge(steps[7])[2], 300);
}

}  // namespace
}  // namespace cambium::testing
