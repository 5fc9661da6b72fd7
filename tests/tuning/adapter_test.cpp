// Adapters against their definition in plain loops.
#include <set>

#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

const std::vector<std::string> kKinds = {"houlsby", "pfeiffer", "parallel"};

std::unique_ptr<Tuner> adapter(Model& model, const std::string& kind, int64_t bottleneck = 6) {
  return make_tuner("adapter", {{"kind", kind}, {"bottleneck", std::to_string(bottleneck)}},
                    {.model = model, .seed = 2});
}

TEST(Adapter, StartsAsTheBase) {
  for (const char* name : {"gpt2", "llama_gqa", "bert", "t5", "bart"})
    for (const std::string& kind : kKinds) {
      const auto model = golden_model(name);
      const Batch batch = random_batch(model->config(), {5, 9, 1});
      Hooks none;
      const auto tuner = adapter(*model, kind);
      const auto base = logits_of(*model, none, batch), tuned = logits_of(*model, *tuner, batch);
      for (size_t s = 0; s < batch.size(); ++s) EXPECT_TRUE(same_bits(tuned[s], base[s])) << name << " " << kind;
      randomize(*tuner, 4);
      EXPECT_FALSE(same_bits(logits_of(*model, *tuner, batch)[0], base[0])) << name << " " << kind;
    }
}

// By itself; where it stands in models: golden_tuner_test.cpp.
TEST(Adapter, IsItsDefinition) {
  const auto model = golden_model("t5", DType::f64);
  const int64_t width = model->config().width, bottleneck = 5, rows = 7;
  const Layout layout(std::vector<std::vector<int32_t>>{random_ids(rows, 50, 1)}, std::vector<int64_t>{0},
                      std::vector<int>{0});
  const Array input = random_array({rows, width}, 1), h = random_array({rows, width}, 2),
              residual = random_array({rows, width}, 3), sum = random_array({rows, width}, 4);
  const auto var = [](const Array& a) { return Var(to_tensor(a, DType::f64)); };
  const std::function<Var(const Var&, const Var&)> result = [&](const Var& before, const Var& added) {
    expect_close(to_array(before.value), residual, 0, 0, "what `result` adds to");
    expect_close(to_array(added.value), h, 0, 0, "what `result` is asked for");
    return var(sum);
  };
  const std::map<std::string, double (*)(double)> activations = {
      {"relu", [](double a) { return std::max(0.0, a); }},
      {"gelu", [](double a) { return 0.5 * a * (1 + std::erf(a / std::sqrt(2.0))); }},
      {"gelu_tanh",
       [](double a) { return 0.5 * a * (1 + std::tanh(std::sqrt(2 / M_PI) * (a + 0.044715 * a * a * a))); }},
      {"silu", [](double a) { return a / (1 + std::exp(-a)); }},
      {"tanh", [](double a) { return std::tanh(a); }}};
  const std::map<std::string, const Array*> read_of = {
      {"output", &h}, {"sum", &sum}, {"input", &input}, {"residual", &residual}};
  struct Case {
    OptionMap options;
    const char *activation, *reads;
  };
  const std::vector<Case> cases = {{{{"kind", "houlsby"}}, "gelu", "output"},
                                   {{{"kind", "pfeiffer"}}, "relu", "sum"},
                                   {{{"kind", "parallel"}}, "relu", "input"},
                                   {{{"kind", "houlsby"}, {"activation", "gelu_tanh"}}, "gelu_tanh", "output"},
                                   {{{"kind", "pfeiffer"}, {"reads", "output"}}, "relu", "output"},
                                   {{{"kind", "pfeiffer"}, {"activation", "silu"}}, "silu", "sum"},
                                   {{{"kind", "parallel"}, {"reads", "residual"}}, "relu", "residual"},
                                   {{{"kind", "parallel"}, {"activation", "tanh"}}, "tanh", "input"}};
  for (const Case& c : cases) {
    OptionMap options = c.options;
    options["bottleneck"] = std::to_string(bottleneck);
    const std::string kind = options["kind"];
    const auto tuner = make_tuner("adapter", options, {.model = *model, .seed = 2});
    EXPECT_EQ(tuner->options().at("activation"), c.activation);
    EXPECT_EQ(tuner->options().at("reads"), c.reads);
    randomize(*tuner, 5, 0.5);
    std::map<std::string, Array> p;
    for (const NamedParameter& n : tuner->parameters()) p[n.name] = to_array(n.value());
    Pass pass(*tuner);
    for (const Site& site :
         {Site{StackKind::encoder, 0, Place::self_attention}, Site{StackKind::decoder, 1, Place::cross_attention},
          Site{StackKind::decoder, 1, Place::feed_forward}}) {
      const Var read_var = var(input), residual_var = var(residual);
      const Tensor y = tuner->after(pass, site, {read_var, residual_var, result}, var(h), layout).value;
      const std::string path = path_of(site) + ".adapter.";
      EXPECT_EQ(p.count(path + "down.weight"), size_t(kind == "houlsby" || site.place == Place::feed_forward))
          << kind << " " << path;
      Array expected = h;
      if (p.count(path + "down.weight")) {
        const Array &down = p.at(path + "down.weight"), &up = p.at(path + "up.weight"), &read = *read_of.at(c.reads);
        for (int64_t n = 0; n < rows; ++n)
          for (int64_t k = 0; k < bottleneck; ++k) {
            double a = p.at(path + "down.bias")(k);
            for (int64_t d = 0; d < width; ++d) a += down(k, d) * read(n, d);
            a = activations.at(c.activation)(a);
            for (int64_t d = 0; d < width; ++d) expected(n, d) += (kind == "parallel" ? 4 : 1) * up(d, k) * a;
          }
        for (int64_t n = 0; n < rows; ++n)
          for (int64_t d = 0; d < width; ++d)
            expected(n, d) += (kind == "parallel" ? 4 : 1) * p.at(path + "up.bias")(d);
      }
      expect_close(to_array(y), expected, 1e-12, 0, kind + " " + path);
    }
  }
}

TEST(Adapter, ParametersAndStart) {
  const auto model = golden_model("bart");
  const ModelConfig& c = model->config();
  constexpr int64_t kBottleneck = 300;
  const int64_t per_module = 2 * kBottleneck * c.width + kBottleneck + c.width;
  for (const std::string& kind : kKinds) {
    const auto tuner = adapter(*model, kind, kBottleneck);
    const int64_t modules =
        kind == "houlsby" ? 2 * c.encoder.layers + 3 * c.decoder.layers : c.encoder.layers + c.decoder.layers;
    EXPECT_EQ(TrainedSet(*model, *tuner).scalars(), modules * per_module) << kind;
    for (const NamedParameter& p : tuner->parameters()) {
      const Array value = to_array(p.value());
      if (!p.name.ends_with("down.weight")) {
        EXPECT_EQ(value.largest(), 0) << p.name;
        continue;
      }
      // N(0, 0.01), or U(-1/sqrt(width), 1/sqrt(width)): mean, deviation, and the fourth moment, which tells them
      // apart, of n numbers, each within five of its own deviations.
      double mean = 0, square = 0, fourth = 0;
      const double n = double(value.size());
      for (const double x : value.values) mean += x / n, square += x * x / n, fourth += x * x * x * x / n;
      const bool uniform = kind == "parallel";
      const double bound = 1 / std::sqrt(double(c.width)), variance = uniform ? bound * bound / 3 : 1e-4;
      const double kurtosis = uniform ? 1.8 : 3;
      EXPECT_NEAR(mean, 0, 5 * std::sqrt(variance / n)) << p.name;
      EXPECT_NEAR(square / variance, 1, 5 * std::sqrt((kurtosis - 1) / n)) << p.name;
      EXPECT_NEAR(fourth / (square * square), kurtosis, 5 * std::sqrt(24 / n)) << p.name;
      EXPECT_LT(value.largest(), uniform ? bound : 0.06) << p.name;
    }
    EXPECT_EQ(tuner->effective_scale(), kind == "parallel" ? 4 : 1);
  }
}

TEST(Adapter, OptionsChooseSitesAndNorms) {
  const auto model = golden_model("bart");
  const ModelConfig& c = model->config();
  const auto count = [&](const OptionMap& options) {
    const auto tuner = make_tuner("adapter", options, {.model = *model});
    std::set<std::string> of_base;
    const TrainedSet trained(*model, *tuner);
    for (const TrainedSet::Entry& e : trained.entries())
      if (e.of_base) of_base.insert(e.name);
    return std::pair{int64_t(tuner->parameters().size()) / 4, of_base};
  };
  EXPECT_EQ(count({}).first, 2 * c.encoder.layers + 3 * c.decoder.layers);
  EXPECT_EQ(count({{"cross", "0"}}).first, 2 * c.encoder.layers + 2 * c.decoder.layers);
  EXPECT_TRUE(count({}).second.empty());
  const auto norms = count({{"norms", "1"}}).second;  // of the embedding, too: two of each stack
  EXPECT_EQ(int64_t(norms.size()), 2 * (2 + 2 * c.encoder.layers + 3 * c.decoder.layers));
  EXPECT_TRUE(norms.count("encoder.embedding_norm.weight"));
  EXPECT_TRUE(norms.count("decoder.layers.1.cross_attention_norm.bias"));
}

TEST(Adapter, OptionsAreChecked) {
  const auto model = golden_model("gpt2");
  expect_error<InputError>([&] { adapter(*model, "compacter"); }, {"kind=compacter", "houlsby, pfeiffer, parallel"});
  expect_error<InputError>([&] { adapter(*model, "houlsby", 0); }, {"bottleneck=0"});
  expect_error<InputError>(
      [&] {
        make_tuner("adapter", {{"reads", "logits"}}, {.model = *model});
      },
      {"reads=logits", "output, sum, input, residual"});
  expect_error<InputError>(
      [&] {
        make_tuner("adapter", {{"size", "3"}}, {.model = *model});
      },
      {"no option size", "bottleneck"});
}

}  // namespace
}  // namespace cambium::testing
