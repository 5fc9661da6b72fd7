// Optimizers against their formulas in plain loops of double; schedules, norms, and the tree of gradients.
#include "tuning/optimizer.h"

#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

constexpr int kSteps = 6;

// Tensors of several ranks and sizes, some beyond one piece of the parallel loops.
const std::vector<Shape> kShapes = {{7}, {3, 5}, {130, 131}, {2, 2, 3, 2, 4}, {1}, {128, 150}, {40000}};

struct Problem {
  std::vector<Trained> trained;
  std::vector<Array> values;                  // the reference's
  std::vector<std::vector<Array>> gradients;  // [step][tensor]; empty: none
};

Problem make_problem(DType dtype, bool working = false) {
  Problem p;
  for (size_t i = 0; i < kShapes.size(); ++i) {
    p.values.push_back(random_array(kShapes[i], 50 + i));
    Trained t{text("t", i), to_tensor(p.values[i], dtype), {}};
    if (working) t.working = t.value.to(DType::bf16);
    p.trained.push_back(std::move(t));
  }
  for (int s = 0; s < kSteps; ++s) {
    p.gradients.emplace_back();
    for (size_t i = 0; i < kShapes.size(); ++i) {
      const bool absent = i == 1 && s % 2 == 1;  // a tensor without a gradient is left alone
      p.gradients.back().push_back(absent ? Array() : random_array(kShapes[i], 1000 * uint64_t(s + 1) + i, 1 + s));
    }
  }
  return p;
}

// Runs the optimizer beside `definition(value, gradient, tensor, step)` and compares after every step.
template <class Definition>
void expect_optimizer(const std::string& name, const OptimizerOptions& options, const Definition& definition,
                      double lr = 0.05, double scale = 0.5) {
  for (const auto& [dtype, tolerance] : {std::pair{DType::f64, 1e-12}, {DType::f32, 3e-6}}) {
    Problem p = make_problem(dtype, dtype == DType::f32);
    const auto optimizer = make_optimizer(name, options, p.trained);
    std::vector<int> own(p.values.size(), 0);  // steps with a gradient, of each tensor
    for (int s = 0; s < kSteps; ++s) {
      std::vector<Tensor> gradients;
      for (const Array& g : p.gradients[size_t(s)]) gradients.push_back(to_tensor(g, dtype));
      optimizer->step(lr, Tensor::of(std::vector<double>{scale, 1}), gradients);
      for (size_t i = 0; i < p.values.size(); ++i) {
        Array g = p.gradients[size_t(s)][i];
        if (!g.size()) continue;
        for (double& x : g.values) x *= scale;
        definition(p.values[i], g, i, ++own[i]);
        expect_close(to_array(p.trained[i].value), p.values[i], tolerance, tolerance,
                     text(name, " tensor ", i, " step ", s + 1, " ", name_of(dtype)));
        if (p.trained[i].working) {
          EXPECT_TRUE(same_bits(p.trained[i].working, p.trained[i].value.to(DType::bf16)));
        }
      }
    }
    EXPECT_EQ(optimizer->steps, kSteps);
  }
}

// State by tensor, made of zeros when it is first asked for.
struct State {
  std::map<size_t, Array> arrays;
  Array& operator()(size_t i, const Shape& shape) { return arrays.try_emplace(i, shape).first->second; }
};

TEST(Optimizer, AdamW) {
  for (const double decay : {0.0, 0.1}) {
    std::unique_ptr<State> m, v;
    expect_optimizer("adamw", {.beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-6, .weight_decay = decay},
                     [&](Array& p, const Array& g, size_t i, int step) {
                       if (step == 1 && i == 0) m = std::make_unique<State>(), v = std::make_unique<State>();
                       Array &first = (*m)(i, g.shape), &second = (*v)(i, g.shape);
                       const double c1 = 1 - std::pow(0.8, step), c2 = 1 - std::pow(0.99, step);
                       for (int64_t k = 0; k < p.size(); ++k) {
                         first(k) = 0.8 * first(k) + 0.2 * g(k);
                         second(k) = 0.99 * second(k) + 0.01 * g(k) * g(k);
                         p(k) -= 0.05 * decay * p(k);
                         p(k) -= 0.05 * (first(k) / c1) / (std::sqrt(second(k) / c2) + 1e-6);
                       }
                     });
  }
}

TEST(Optimizer, Sgd) {
  for (const double momentum : {0.0, 0.9}) {
    std::unique_ptr<State> m;
    expect_optimizer("sgd", {.weight_decay = 0.01, .momentum = momentum},
                     [&](Array& p, const Array& g, size_t i, int step) {
                       if (step == 1 && i == 0) m = std::make_unique<State>();
                       Array& moving = (*m)(i, g.shape);
                       for (int64_t k = 0; k < p.size(); ++k) {
                         moving(k) = momentum * moving(k) + g(k) + 0.01 * p(k);
                         p(k) -= 0.05 * moving(k);
                       }
                     });
  }
}

// Adafactor without first moment, as T5X has it (reference formulas: Shazeer & Stern 2018, algorithms 4 and 5).
void adafactor(const OptimizerOptions& o, State& rows, State& columns, double lr, Array& p, const Array& g, size_t i,
               int step) {
  const double beta2 = 1 - std::pow(double(o.initial_step + step), -o.decay_rate);
  const int64_t C = g.cols(), R = g.size() / C;
  const bool factored = g.shape.rank() >= 2 && std::min(R, C) >= o.factor_min_dim;
  Array u(g.shape);
  if (factored) {
    Array &row = rows(i, {R}), &column = columns(i, {C});
    double mean = 0;
    for (int64_t r = 0; r < R; ++r) {
      double sum = 0;
      for (int64_t c = 0; c < C; ++c) sum += g(r * C + c) * g(r * C + c) + o.epsilon1;
      row(r) = beta2 * row(r) + (1 - beta2) * sum / double(C);
      mean += row(r) / double(R);
    }
    for (int64_t c = 0; c < C; ++c) {
      double sum = 0;
      for (int64_t r = 0; r < R; ++r) sum += g(r * C + c) * g(r * C + c) + o.epsilon1;
      column(c) = beta2 * column(c) + (1 - beta2) * sum / double(R);
    }
    for (int64_t k = 0; k < g.size(); ++k) u(k) = g(k) / std::sqrt(row(k / C) * column(k % C) / mean);
  } else {
    Array& v = columns(i, g.shape);
    for (int64_t k = 0; k < g.size(); ++k) {
      v(k) = beta2 * v(k) + (1 - beta2) * (g(k) * g(k) + o.epsilon1);
      u(k) = g(k) / std::sqrt(v(k));
    }
  }
  const auto rms = [](const Array& a) {
    double sum = 0;
    for (const double x : a.values) sum += x * x;
    return std::sqrt(sum / double(a.size()));
  };
  const double clip = std::max(1.0, rms(u) / o.clip),
               size = lr * (o.scale_by_parameter ? std::max(o.epsilon2, rms(p)) : 1);
  const double shrink = 1 - o.weight_decay * (o.decay_times_lr ? lr : 1);
  for (int64_t k = 0; k < g.size(); ++k) p(k) = shrink * p(k) - size * u(k) / clip;
}

TEST(Optimizer, Adafactor) {
  std::vector<OptimizerOptions> all = {{},
                                       {.weight_decay = 1e-2},
                                       {.weight_decay = 1e-2, .decay_times_lr = true},
                                       {.scale_by_parameter = true},
                                       {.factor_min_dim = 2},
                                       {.initial_step = 1100000},
                                       {.decay_rate = 0.5, .clip = 0.1},
                                       {.epsilon1 = 1e-3, .epsilon2 = 100, .scale_by_parameter = true}};
  for (const OptimizerOptions& o : all) {
    std::unique_ptr<State> rows, columns;
    expect_optimizer("adafactor", o, [&](Array& p, const Array& g, size_t i, int step) {
      if (step == 1 && i == 0) rows = std::make_unique<State>(), columns = std::make_unique<State>();
      // A tensor that got no gradient keeps its state; the step counter is the optimizer's.
      adafactor(o, *rows, *columns, 0.05, p, g, i, step);
    });
  }
}

// Steps of PyTorch's AdamW and SGD and of transformers' Adafactor, behind torch's clip_grad_norm_.
TEST(Optimizer, StepsArePyTorchs) {
  const auto cases = parse_json_file(golden_path("optimizer/cases.json"));
  EXPECT_EQ(cases.size() + 1, list_directory(golden_path("optimizer")).size());
  for (const auto& c : cases) {
    const std::string name = c.at("name");
    const SafetensorsFile file(golden_path("optimizer/" + name + ".safetensors"));
    const auto& o = c.at("options");
    OptimizerOptions options{.factor_min_dim = 1};
    options.beta1 = o.value("beta1", options.beta1), options.beta2 = o.value("beta2", options.beta2);
    options.epsilon = o.value("epsilon", options.epsilon), options.momentum = o.value("momentum", 0.0);
    options.weight_decay = o.value("weight_decay", 0.0), options.decay_times_lr = true;
    options.decay_rate = o.value("decay_rate", options.decay_rate), options.clip = o.value("clip", options.clip);
    options.epsilon1 = o.value("epsilon1", options.epsilon1), options.epsilon2 = o.value("epsilon2", options.epsilon2);
    options.scale_by_parameter = o.value("scale_by_parameter", false);
    for (const auto& [dtype, tolerance] : {std::pair{DType::f64, 1e-12}, {DType::f32, 2e-6}}) {
      std::vector<Trained> trained;
      const int count = c.at("tensors");
      for (int i = 0; i < count; ++i)
        trained.push_back({text("t", i), file.read(text("start.", i)).clone().to(dtype), {}});
      const auto optimizer = make_optimizer(o.at("optimizer"), options, trained);
      Tensor gate = Tensor::of(std::vector<double>{1, 1}), sums = Tensor::zeros({count}, DType::f64),
             report = Tensor::zeros({3}, DType::f64);
      for (int step = 0; step < c.at("steps").get<int>(); ++step) {
        std::vector<Tensor> gradients;
        std::vector<ConstView> views;
        for (int i = 0; i < count; ++i)
          gradients.push_back(file.read(text("gradient.", step, ".", i)).clone().to(dtype));
        for (const Tensor& g : gradients) views.push_back(g);
        Stream& stream = gate.stream();
        DISPATCH(square_sums, stream)(stream, views, sums);
        DISPATCH(judge_step, stream)(stream, c.at("clip").get<double>(), sums, {}, gate, report);
        EXPECT_NEAR(report.data<double>()[1], c.at("norms")[size_t(step)].get<double>(), 1e-6) << name;
        optimizer->step(c.at("lr"), gate, gradients);
        for (int i = 0; i < count; ++i)
          if (const std::string after = text("after.", step, ".", i); file.has(after)) {
            Array expected = to_array(file.read(after)), rest = to_array(file.read(after + ".rest"));
            for (int64_t k = 0; k < rest.size(); ++k) expected(k) += rest(k);
            expect_close(to_array(trained[size_t(i)].value), expected, tolerance, tolerance,
                         text(name, " ", after, " ", name_of(dtype)));
          }
      }
    }
  }
}

// A tensor in a group of its own takes the steps that it takes alone, with its group's rate and decay; the others take
// theirs.
TEST(Optimizer, GroupsHaveRatesAndDecaysOfTheirOwn) {
  const std::vector<const char*> names = {"layers.0.query.bias", "layers.0.query.weight", "norm.weight",
                                          "layers.0.query.lora_b"};
  const auto start = [&](size_t i) { return random_array({30, 40}, 900 + i); };
  const auto run = [&](const std::string& optimizer, const OptimizerOptions& options, const std::vector<size_t>& which,
                       double lr) {
    std::vector<Trained> trained;
    for (const size_t i : which) trained.push_back({names[i], to_tensor(start(i), DType::f32), {}});
    const auto o = make_optimizer(optimizer, options, trained);
    for (int s = 0; s < 3; ++s) {
      std::vector<Tensor> gradients;
      for (const size_t i : which)
        gradients.push_back(to_tensor(random_array({30, 40}, 77 * (i + 1) + size_t(s)), DType::f32));
      o->step(lr, Tensor(), gradients);
    }
    return trained;
  };
  for (const std::string optimizer : {"adamw", "sgd", "adafactor"}) {
    OptimizerOptions o{.weight_decay = 0.1, .momentum = 0.9};
    OptimizerOptions without = o;
    without.weight_decay = 0;
    const auto plain = run(optimizer, o, {0, 1, 2, 3}, 0.01);
    o.no_decay = {"bias", "norm"}, o.rate_factors = {{"lora_b", 16}, {"query", 1}};
    const auto grouped = run(optimizer, o, {0, 1, 2, 3}, 0.01);
    EXPECT_TRUE(same_bits(grouped[0].value, run(optimizer, without, {0}, 0.01)[0].value)) << optimizer;
    EXPECT_TRUE(same_bits(grouped[1].value, plain[1].value)) << optimizer;
    EXPECT_TRUE(same_bits(grouped[2].value, run(optimizer, without, {2}, 0.01)[0].value)) << optimizer;
    EXPECT_FALSE(same_bits(grouped[2].value, plain[2].value)) << optimizer;
    EXPECT_TRUE(same_bits(grouped[3].value, run(optimizer, {.weight_decay = 0.1, .momentum = 0.9}, {3}, 0.16)[0].value))
        << optimizer;
  }
  expect_error<InputError>(
      [&] {
        run("adamw", {.rate_factors = {{"lora_b", 16}}}, {0, 1}, 0.01);
      },
      {"no trained tensor has lora_b in its name", "layers.0.query.bias"});
}

TEST(Optimizer, AdafactorFactorsLargeMatricesAlone) {
  const Problem p = make_problem(DType::f32);
  std::map<std::string, Shape> shapes;
  for (const auto& [name, tensor] : make_optimizer("adafactor", {}, p.trained)->state()) shapes[name] = tensor.shape();
  EXPECT_EQ(shapes.at("t2.rows"), Shape{130});
  EXPECT_EQ(shapes.at("t2.columns"), Shape{131});
  EXPECT_EQ(shapes.at("t5.rows"), Shape{128});
  EXPECT_FALSE(shapes.count("t1.rows"));
  EXPECT_EQ(shapes.at("t1.columns").size(), 15);
  EXPECT_EQ(shapes.at("t6.columns").size(), 40000);
}

TEST(Optimizer, SameBitsWithAnyNumberOfThreads) {
  const int before = threads();
  for (const char* name : {"adamw", "sgd", "adafactor"}) {
    std::vector<Tensor> first;
    for (const int count : {1, 2, 3}) {
      set_threads(count);
      Problem p = make_problem(DType::f32);
      const auto optimizer = make_optimizer(name, {.momentum = 0.5}, p.trained);
      for (int s = 0; s < kSteps; ++s) {
        std::vector<Tensor> gradients;
        for (const Array& g : p.gradients[size_t(s)]) gradients.push_back(to_tensor(g, DType::f32));
        optimizer->step(0.01, Tensor::of(std::vector<double>{1 / gradient_norm(gradients).norm, 1}), gradients);
      }
      for (size_t i = 0; i < p.trained.size(); ++i) {
        if (count == 1) first.push_back(p.trained[i].value);
        EXPECT_TRUE(same_bits(p.trained[i].value, first[i])) << name << " " << i;
      }
    }
  }
  set_threads(before);
}

TEST(Optimizer, UnknownNames) {
  const Problem p = make_problem(DType::f32);
  expect_error<InputError>([&] { make_optimizer("adam", {}, p.trained); }, {"adam", "adamw, adafactor and sgd"});
  expect_error<InputError>([] { schedule_named("exponential"); }, {"exponential", "constant, linear and cosine"});
}

TEST(GradientNorm, IsTheRootOfAllSquares) {
  std::vector<Tensor> gradients;
  double sum = 0;
  for (const Shape& shape : kShapes) {
    const Array a = random_array(shape, 3);
    for (const double x : a.values) sum += double(float(x)) * double(float(x));
    gradients.push_back(to_tensor(a, DType::f32));
    gradients.emplace_back();  // absent ones count nothing
  }
  const GradientNorm norm = gradient_norm(gradients);
  EXPECT_NEAR(norm.norm, std::sqrt(sum), 1e-12 * std::sqrt(sum));
  EXPECT_EQ(norm.not_finite, -1);
  EXPECT_EQ(gradient_norm({}).norm, 0);
  for (const float bad : {std::nanf(""), INFINITY}) {
    gradients[4].data<float>()[77] = bad;
    EXPECT_EQ(gradient_norm(gradients).not_finite, 4);
  }
  // Squares that overflow float32 do not.
  EXPECT_NEAR(gradient_norm({Tensor::of(std::vector<float>{3e30f, 4e30f})}).norm / 5e30, 1, 1e-6);
}

TEST(Schedules, AreTransformers) {
  // get_constant_schedule_with_warmup, get_linear_schedule_with_warmup, get_cosine_schedule_with_warmup: the factor of
  // step i + 1 is lambda(i).
  constexpr int64_t total = 20;
  for (const int64_t warmup : {0, 1, 5, 20})
    for (int64_t step = 1; step <= total; ++step) {
      const double i = double(step - 1), w = double(warmup), n = double(total);
      const double rise = i < w ? i / w : -1, progress = (i - w) / std::max(1.0, n - w);
      EXPECT_NEAR(schedule_factor(Schedule::constant, step, warmup, total), rise >= 0 ? rise : 1, 1e-14);
      EXPECT_NEAR(schedule_factor(Schedule::linear, step, warmup, total),
                  rise >= 0 ? rise : std::max(0.0, (n - i) / std::max(1.0, n - w)), 1e-14);
      EXPECT_NEAR(schedule_factor(Schedule::cosine, step, warmup, total),
                  rise >= 0 ? rise : 0.5 * (1 + std::cos(M_PI * progress)), 1e-14);
    }
}

TEST(GradientTree, AddsInAFixedOrder) {
  for (const int count : {1, 2, 4, 8}) {
    GradientTree tree;
    std::vector<float> leaves;
    for (int s = 0; s < count; ++s) {
      leaves.push_back(std::ldexp(1.f + 0.1f * float(s), (s * 7) % 20 - 10));
      tree.add({Tensor::of(std::vector<float>{leaves.back()}),
                s % 2 ? Tensor::of(std::vector<float>{float(s)}) : Tensor(), Tensor()});
    }
    while (leaves.size() > 1) {
      std::vector<float> sums;
      for (size_t i = 0; i < leaves.size(); i += 2) sums.push_back(leaves[i] + leaves[i + 1]);
      leaves = sums;
    }
    const auto total = tree.total();
    EXPECT_EQ(total[0].data<float>()[0], leaves[0]);
    EXPECT_EQ(bool(total[1]), count > 1);  // absent in some shards
    EXPECT_FALSE(total[2]);                // absent in all: absent, not zero
  }
  GradientTree three;
  for (int s = 0; s < 3; ++s) three.add({Tensor::of(std::vector<float>{1})});
  EXPECT_THROW(three.total(), Error);
}

}  // namespace
}  // namespace cambium::testing
