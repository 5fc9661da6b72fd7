// What holds for every tuner on every kind of model: gradients against central differences in double, starts that leave
// the base's bits, options that make the same tuner again, and merging.
#include <cmath>

#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

struct Kind {
  const char *name, *method;
  OptionMap options;
  bool starts_as_base = true;  // the bits of the logits
};

void PrintTo(const Kind& k, std::ostream* out) { *out << k.name; }

const std::vector<Kind> kKinds = {
    {"prompt", "prompt", {{"length", "3"}, {"init", "random"}}, false},
    {"prefix", "prefix", {{"length", "3"}, {"init", "random"}}, false},
    {"prefix_network",
     "prefix",
     {{"length", "3"}, {"init", "random"}, {"reparametrize", "1"}, {"hidden", "5"}},
     false},
    {"houlsby", "adapter", {{"bottleneck", "4"}}},
    {"pfeiffer", "adapter", {{"bottleneck", "4"}, {"kind", "pfeiffer"}, {"activation", "gelu"}}},
    {"parallel", "adapter", {{"bottleneck", "4"}, {"kind", "parallel"}, {"activation", "silu"}}},
    {"lin", "adapter", {{"bottleneck", "4"}, {"kind", "lin"}, {"activation", "tanh"}, {"layers", "1"}}},
    {"p_tuning_mlp", "p_tuning", {{"length", "3"}, {"encoder", "mlp"}, {"hidden", "7"}}, false},
    {"p_tuning_lstm", "p_tuning", {{"length", "4"}, {"hidden", "5"}}, false},
    {"p_tuning_v2", "p_tuning_v2", {{"length", "3"}}, false},
    {"lora_adapter_ia3",
     "lora+adapter+ia3",
     {{"lora.rank", "2"}, {"adapter.bottleneck", "3"}, {"ia3.targets", "key,value"}}},
    {"mam",
     "mam",
     {{"prefix.length", "3"}, {"prefix.init", "random"}, {"adapter.bottleneck", "3"}, {"adapter.activation", "tanh"}},
     false},
    {"lora", "lora", {{"rank", "3"}}},
    {"lora_patterns",
     "lora",
     {{"rank", "3"}, {"targets", "query,down"}, {"rslora", "1"}, {"rank_pattern", "down:2"}}},
    {"dora", "dora", {{"rank", "3"}, {"targets", "query,value,up"}}},
    {"vera", "vera", {{"rank", "5"}, {"targets", "query,value,down"}}},
    {"ia3", "ia3", {}},
    {"bitfit", "bitfit", {}},
    {"layer_norm", "layer_norm", {}},
    {"top_layers", "top_layers", {{"layers", "1"}}},
    {"full", "full", {}},
};

using Case = std::pair<Kind, std::string>;  // and a model

// Each kind on each model that has something for it.
std::vector<Case> cases(bool all) {
  std::vector<Case> list;
  for (const Kind& kind : kKinds)
    for (const std::string model : {"gpt2", "llama_gqa", "bert", "t5", "bart"}) {
      const bool has_biases = model != "llama_gqa" && model != "t5";
      if ((all || kind.starts_as_base) && (has_biases || std::string(kind.method) != "bitfit")) list.push_back({kind, model});
    }
  return list;
}

class EveryTuner : public ::testing::TestWithParam<Case> {
 protected:
  const Kind kind = GetParam().first;
  const std::string name = GetParam().second;

  std::unique_ptr<Tuner> tuner(Model& model) const { return make_tuner(kind.method, kind.options, {.model = model}); }
};

class EveryTunerThatStartsAsTheBase : public EveryTuner {};

double loss_of(Model& model, Tuner& tuner, const Batch& batch) {
  Pass pass(tuner);
  return model.loss(pass, batch, {.gradient_scale = 1, .gradient = false}).sum.value.data<double>()[0];
}

// DoRA's lengths are constants in backward, so that what they depend on is compared with PyTorch alone.
bool is_derivative(const std::string& method, const std::string& name) {
  return method != "dora" || name.ends_with(".magnitude");
}

TEST_P(EveryTuner, GradientsAreCentralDifferences) {
  // T5's ReLU has kinks, at which differences are no derivatives; its successor's activation has none.
  const auto model = golden_model(name == "t5" ? "t5_1_1" : name, DType::f64);
  const auto tuned = tuner(*model);
  for (const NamedParameter& p : tuned->parameters()) {  // near the start: it is far from flat
    const Array noise = random_array(p.value().shape(), std::hash<std::string>()(p.name), 0.15);
    for (int64_t i = 0; i < noise.size(); ++i) p.value().data<double>()[i] += noise(i);
  }
  const Batch batch = random_batch(model->config(), {5, 8, 1});
  const TrainedSet trained(*model, *tuned);
  Tape tape;
  Pass pass(*tuned, tape);
  trained.enter(pass);
  const Model::Loss loss = model->loss(pass, batch, {.gradient_scale = 1});
  tape.backward(loss.sum, Tensor::of(std::vector<double>{1}));
  const std::vector<Tensor> gradients = trained.gradients(pass);

  // Along one random direction a tensor; of a whole model, a few of its tensors.
  const size_t stride = trained.entries().size() > 60 ? 7 : 1;
  for (size_t i = 0; i < gradients.size(); i += stride) {
    const TrainedSet::Entry& e = trained.entries()[i];
    if (!is_derivative(kind.method, e.name)) continue;
    ASSERT_TRUE(gradients[i]) << e.name;
    const Array direction = random_array(e.value.shape(), 91 + i), gradient = to_array(gradients[i]);
    double analytic = 0;
    for (int64_t k = 0; k < direction.size(); ++k) analytic += direction(k) * gradient(k);
    const auto moved = [&](double step) {
      const Tensor before = e.value.clone();
      for (int64_t k = 0; k < direction.size(); ++k) e.value.data<double>()[k] += step * direction(k);
      const double l = loss_of(*model, *tuned, batch);
      e.value.copy_from(before);
      return l;
    };
    // Richardson's: differences of two widths, so that the third derivative falls out.
    constexpr double h = 1e-5;
    const double narrow = (moved(h) - moved(-h)) / (2 * h), wide = (moved(2 * h) - moved(-2 * h)) / (4 * h);
    const double numeric = (4 * narrow - wide) / 3;
    EXPECT_NEAR(analytic, numeric, 1e-6 * std::max(1.0, std::abs(numeric))) << e.name;
  }
}

TEST_P(EveryTunerThatStartsAsTheBase, HasItsBits) {
  const auto model = golden_model(name);
  const auto tuned = tuner(*model);
  Hooks none;
  const Batch batch = random_batch(model->config(), {5, 9, 1});
  const auto base = logits_of(*model, none, batch), with = logits_of(*model, *tuned, batch);
  for (size_t s = 0; s < batch.size(); ++s) EXPECT_TRUE(same_bits(with[s], base[s])) << s;
}

TEST_P(EveryTuner, IsMadeAgainFromItsOptions) {
  const auto model = golden_model(name);
  const auto tuned = tuner(*model), again = make_tuner(kind.method, tuned->options(), {.model = *model});
  EXPECT_EQ(again->options(), tuned->options());
  const auto own = tuned->parameters(), others = again->parameters();
  ASSERT_EQ(own.size(), others.size());
  for (size_t i = 0; i < own.size(); ++i) {
    EXPECT_EQ(own[i].name, others[i].name);
    EXPECT_TRUE(same_bits(own[i].value(), others[i].value())) << own[i].name;
  }
}

TEST_P(EveryTuner, MergesAsTheListSays) {
  const auto model = golden_model(name);
  const auto tuned = tuner(*model);
  for (const NamedParameter& p : tuned->parameters()) {
    const Array noise = random_array(p.value().shape(), std::hash<std::string>()(p.name), 0.1);
    for (int64_t i = 0; i < noise.size(); ++i) p.value().data<float>()[i] += float(noise(i));
  }
  const Batch batch = random_batch(model->config(), {5, 9});
  const auto unmerged = logits_of(*model, *tuned, batch);
  const auto methods = split(kind.method, '+');
  const bool mergeable = std::all_of(methods.begin(), methods.end(),
                                     [](const std::string& m) { return method_named(m).mergeable; });
  ASSERT_EQ(tuned->merge_into(*model), mergeable);
  if (!mergeable) return;
  Hooks none;
  const auto merged = logits_of(*model, none, batch);
  for (size_t s = 0; s < batch.size(); ++s)
    expect_close(to_array(merged[s]), to_array(unmerged[s]), 2e-5, 0, text("sequence ", s));
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  return std::string(info.param.first.name) + "_" + info.param.second;
}
INSTANTIATE_TEST_SUITE_P(Methods, EveryTuner, ::testing::ValuesIn(cases(true)), case_name);
INSTANTIATE_TEST_SUITE_P(Methods, EveryTunerThatStartsAsTheBase, ::testing::ValuesIn(cases(false)), case_name);

// Every method of the list is among them.
TEST(EveryTunerKinds, CoverTheList) {
  for (const std::string& method : tuner_methods())
    EXPECT_TRUE(std::any_of(kKinds.begin(), kKinds.end(), [&](const Kind& k) { return k.method == method; })) << method;
}

TEST(EveryTunerKinds, BitFitNeedsBiases) {
  for (const char* name : {"llama_gqa", "t5"}) {
    const auto model = golden_model(name);
    expect_error<InputError>([&] { make_tuner("bitfit", {}, {.model = *model}); }, {"bitfit", "no biases"});
  }
}

}  // namespace
}  // namespace cambium::testing
