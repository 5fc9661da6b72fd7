// The trainer: shards, clipping, dropout, order of the data, its audits, and how it stops.
#include "tuning/trainer.h"

#include <fstream>
#include <set>

#include "autograd/ops/elementwise.h"
#include "tests/support/files.h"
#include "tests/support/tuning.h"
#include "tuning/options.h"

namespace cambium::testing {
namespace {

struct Outcome {
  Record record;
  std::map<std::string, Tensor> values;
};

const std::vector<int64_t> kLengths = {6, 9, 4, 11, 5, 7, 8, 3, 10, 2};

Outcome run(const char* model_name, const std::string& method, const OptionMap& tuner_options, TrainOptions options,
            DType dtype = DType::f32) {
  const auto model = golden_model(model_name, dtype);
  const auto tuner = make_tuner(method, tuner_options, letters_context(*model));
  options.lr = options.lr ? options.lr : 1e-2;
  options.steps = options.steps ? options.steps : 5;
  Outcome t;
  t.record = train(*model, *tuner, random_batch(model->config(), kLengths), options);
  t.values = values_of(*model, *tuner);
  return t;
}

void expect_same(const Outcome& a, const Outcome& b, const std::string& what) {
  EXPECT_EQ(a.record.losses(), b.record.losses()) << what;
  ASSERT_EQ(a.values.size(), b.values.size());
  for (const auto& [name, value] : a.values) EXPECT_TRUE(same_bits(value, b.values.at(name))) << what << ": " << name;
}

void expect_near(const Outcome& a, const Outcome& b, double tolerance, const std::string& what) {
  for (size_t i = 0; i < a.record.steps.size(); ++i) {
    EXPECT_NEAR(a.record.steps[i].loss, b.record.steps[i].loss, tolerance) << what << " step " << i + 1;
    EXPECT_NEAR(a.record.steps[i].gradient_norm, b.record.steps[i].gradient_norm, 100 * tolerance)
        << what << " step " << i + 1;
  }
}

TEST(Trainer, ShardsGiveTheSameUpToRounding) {
  for (const auto& [model, method] : {std::pair{"gpt2", "lora"}, {"t5", "adapter"}, {"llama_gqa", "prompt"}}) {
    const Outcome one = run(model, method, {}, {.optimizer = "sgd"});
    for (const int64_t shards : {2, 4, 16})
      expect_near(run(model, method, {}, {.optimizer = "sgd", .shards = shards}), one, 1e-5,
                  text(model, " shards ", shards));
    // In double nothing but the order of sums differs.
    expect_near(run(model, method, {}, {.optimizer = "sgd", .shards = 4}, DType::f64),
                run(model, method, {}, {.optimizer = "sgd"}, DType::f64), 1e-12, model);
  }
}

TEST(Trainer, SameBitsWithAnyNumberOfThreads) {
  const int before = threads();
  const DropoutRates dropout{0.1f, 0.1f, 0.1f, 0.1f};
  for (const auto& [model, method] :
       {std::pair{"gpt2", "lora"}, {"llama_gqa", "full"}, {"t5", "prefix"}, {"bart", "adapter"}, {"bert", "prompt"}})
    for (const DType dtype : {DType::f32, DType::bf16})
      for (const int64_t shards : {1, 4}) {
        const TrainOptions options{.shards = shards, .dropout = dropout, .seed = 9};
        set_threads(1);
        const Outcome one = run(model, method, {}, options, dtype);
        set_threads(2);
        expect_same(run(model, method, {}, options, dtype), one,
                    text(model, " ", method, " ", name_of(dtype), " shards ", shards));
      }
  set_threads(before);
}

TEST(Trainer, DropoutDependsOnSeedAndStepAlone) {
  const auto dropped = [](uint64_t seed, int64_t shards, float p) {
    return run("gpt2", "lora", {{"dropout", p > 0 ? "0.2" : "0"}},
               {.optimizer = "sgd", .shards = shards, .dropout = {p, p, p, p}, .seed = seed, .shuffle = false},
               DType::f64);
  };
  const Outcome one = dropped(1, 1, 0.2f);
  expect_same(dropped(1, 1, 0.2f), one, "again");
  expect_near(dropped(1, 4, 0.2f), one, 1e-10, "masks do not know of shards");
  EXPECT_NE(dropped(2, 1, 0.2f).record.losses(), one.record.losses());
  EXPECT_NE(dropped(1, 1, 0).record.losses(), one.record.losses());

  // One batch again and again while nothing moves: each step drops elsewhere, whatever ran before it.
  const auto losses_from = [](int64_t done) {
    const auto model = golden_model("gpt2", DType::f64);
    const auto tuner = make_tuner("lora", {}, {.model = *model, .seed = 3});
    randomize(*tuner, 4);
    TrainedSet trained(*model, *tuner);
    Trainer trainer(
        *model, *tuner, trained, {.examples = random_batch(model->config(), {6, 9})},
        {.optimizer = "sgd", .lr = 1e-300, .steps = 5, .dropout = {0.2f, 0.2f, 0.2f, 0}, .seed = 1, .shuffle = false});
    trainer.resume_at(done);
    Record record;
    trainer.run(record);
    return record.losses();
  };
  const std::vector<double> whole = losses_from(0), rest = losses_from(2);
  EXPECT_EQ(std::set<double>(whole.begin(), whole.end()).size(), 5u);
  EXPECT_EQ(rest, std::vector<double>(whole.begin() + 2, whole.end()));
}

TEST(Trainer, RecomputeChangesNoBits) {
  for (const auto& [model, method] :
       {std::pair{"gpt2", "lora"}, {"llama_gqa", "full"}, {"t5", "prefix"}, {"bart", "prompt"}}) {
    const TrainOptions plain{.dropout = {0.1f, 0.1f, 0.1f, 0.1f}},
        again{.dropout = {0.1f, 0.1f, 0.1f, 0.1f}, .recompute = true};
    expect_same(run(model, method, {}, again), run(model, method, {}, plain), model);
  }
}

TEST(Trainer, ClipsTheNorm) {
  const auto values = [](double clip, double lr) {
    return run("llama_gqa", "lora", {}, {.optimizer = "sgd", .lr = lr, .clip = clip, .steps = 1}, DType::f64);
  };
  const Outcome open = values(0, 0.5);
  const double norm = open.record.steps[0].gradient_norm;
  const Outcome clipped = values(norm / 4, 0.5), slower = values(0, 0.125 * norm / (norm + 1e-6)),  // as torch
      wide = values(norm * 1.01, 0.5);
  EXPECT_EQ(clipped.record.steps[0].gradient_norm, norm);  // reported before clipping
  for (const auto& [name, value] : clipped.values)
    expect_close(to_array(value), to_array(slower.values.at(name)), 1e-12, 1e-14, name);
  expect_same(wide, open, "a norm below the bound is left alone");
}

TEST(Trainer, WarmupInStepsAndPercent) {
  const auto rates = [](const std::string& schedule, const std::string& warmup) {
    std::vector<double> all;
    for (const StepReport& r :
         run("gpt2", "prompt", {}, {.lr = 8, .schedule = schedule, .warmup = warmup, .clip = 1e-9, .steps = 10})
             .record.steps)
      all.push_back(r.lr);
    return all;
  };
  EXPECT_EQ(rates("constant", "4"), (std::vector<double>{0, 2, 4, 6, 8, 8, 8, 8, 8, 8}));
  EXPECT_EQ(rates("constant", "40%"), rates("constant", "4"));
  EXPECT_EQ(rates("constant", "31%"), rates("constant", "4"));  // rounded up
  const std::vector<double> linear = rates("linear", "0");
  for (int i = 0; i < 10; ++i) EXPECT_NEAR(linear[size_t(i)], 0.8 * (10 - i), 1e-12);
  EXPECT_NEAR(rates("cosine", "0")[5], 4, 1e-12);
  for (const char* bad : {"-1", "x", "6 %", "101%", "1.5", "", "%", "nan", "1e99"})
    expect_error<InputError>([&] { rates("constant", bad); }, {"--warmup", bad});
}

TEST(Trainer, TakesTheDataInOrder) {
  const auto model = golden_model("gpt2");
  // The tokens of a step tell which examples it took.
  const auto tokens = [&](const TrainOptions& options) {
    const auto tuner = make_tuner("lora", {}, {.model = *model});
    std::vector<int64_t> all;
    for (const StepReport& r : train(*model, *tuner, random_batch(model->config(), {2, 3, 5, 7, 11}), options).steps)
      all.push_back(r.tokens);
    return all;
  };
  EXPECT_EQ(tokens({.batch_size = 2, .epochs = 2, .shuffle = false}), (std::vector<int64_t>{5, 12, 11, 5, 12, 11}));
  EXPECT_EQ(tokens({.batch_size = 2, .steps = 4, .shuffle = false}), (std::vector<int64_t>{5, 12, 11, 5}));
  EXPECT_EQ(tokens({.batch_size = 100, .epochs = 1}), (std::vector<int64_t>{28}));
  const auto first = tokens({.batch_size = 1, .epochs = 2, .seed = 1}),
             other = tokens({.batch_size = 1, .epochs = 2, .seed = 2});
  EXPECT_EQ(first, tokens({.batch_size = 1, .epochs = 2, .seed = 1}));
  EXPECT_NE(first, other);
  for (const size_t epoch : {0, 1}) {  // each epoch sees every example once, in an order of its own
    std::vector<int64_t> seen(first.begin() + int64_t(epoch) * 5, first.begin() + int64_t(epoch + 1) * 5);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, (std::vector<int64_t>{2, 3, 5, 7, 11}));
  }
  EXPECT_NE(std::vector<int64_t>(first.begin(), first.begin() + 5),
            std::vector<int64_t>(first.begin() + 5, first.end()));
}

TEST(Trainer, UsesTheMethodsOwnRate) {
  const auto gpt2 = golden_model("gpt2");
  const std::map<std::string, double> rates = {{"prompt", 1e-2}, {"prefix", 5e-3},     {"adapter", 1e-3},
                                               {"lora", 1e-3},   {"top_layers", 1e-4}, {"full", 5e-5},
                                               {"ia3", 3e-3},    {"bitfit", 1e-3},     {"layer_norm", 1e-3},
                                               {"dora", 1e-3},   {"vera", 5e-3},       {"p_tuning", 5e-3},
                                               {"mam", 1e-3},    {"p_tuning_v2", 5e-3}};
  EXPECT_EQ(rates.size(), tuner_methods().size());
  for (const auto& [method, rate] : rates) {
    const auto model = golden_model("gpt2");
    const OptionMap shorter = method == "mam" ? OptionMap{{"prefix.length", "4"}} : OptionMap{};  // there are 40 places
    const auto tuner = make_tuner(method, shorter, letters_context(*model));
    EXPECT_EQ(train(*model, *tuner, random_batch(model->config(), kLengths), {.steps = 1}).steps[0].lr, rate) << method;
  }
}

TEST(Trainer, RefusesWhatDoesNotFit) {
  const auto refused = [](const TrainOptions& options, std::initializer_list<std::string_view> parts) {
    expect_error<InputError>([&] { run("gpt2", "lora", {}, options); }, parts);
  };
  const double nan = std::nan("");
  refused({.batch_size = 0}, {"--batch-size 0"});
  refused({.epochs = -1}, {"--epochs -1"});
  refused({.steps = -5}, {"--steps -5"});
  refused({.shards = 3}, {"--shards 3", "power of two"});
  refused({.lr = nan}, {"--lr nan"});
  refused({.lr = -1}, {"--lr -1"});
  refused({.clip = nan}, {"--clip nan"});
  refused({.optimizer = "lion"}, {"lion"});
  refused({.optimizer_options = {.weight_decay = nan}}, {"--weight-decay nan"});
  refused({.optimizer_options = {.beta1 = 1}}, {"--beta1 1"});
  refused({.optimizer_options = {.momentum = 1.5}}, {"--momentum 1.5"});
  refused({.optimizer_options = {.clip = 0}}, {"--update-clip 0"});
  refused({.optimizer_options = {.no_decay = {""}}}, {"--no-decay"});
  refused({.optimizer_options = {.rate_factors = {{"lora_b", -1}}}}, {"--lr-factor -1"});
  refused({.optimizer_options = {.rate_factors = {{"ia3", 2}}}}, {"ia3", "lora_a"});
  refused({.z_loss = -1}, {"--z-loss -1"});
  refused({.label_smoothing = 1}, {"--label-smoothing 1"});
  refused({.schedule = "step"}, {"--schedule step"});

  const auto model = golden_model("gpt2");  // 40 positions
  const auto with = [&](const char* method, const OptionMap& options, const std::vector<int64_t>& lengths) {
    const auto tuner = make_tuner(method, options, letters_context(*model));
    train(*model, *tuner, random_batch(model->config(), lengths), {.steps = 1});
  };
  with("prompt", {{"length", "10"}}, {30, 5});
  expect_error<InputError>([&] { with("prompt", {{"length", "10"}}, {5, 31}); }, {"sequence 1", "31", "10", "40"});
  expect_error<InputError>([&] { with("prefix", {{"length", "10"}}, {31}); }, {"sequence 0", "31", "10", "40"});
  expect_error<InputError>([&] { with("lora", {}, {41}); }, {"41", "40"});
  expect_error<InputError>([&] { with("lora", {}, {}); }, {"no examples"});
  expect_error<InputError>([&] { with("lora", {}, {1}); },
                           {"no token to score"});  // a decoder's first token is no target
}

// A tuner with one parameter beside the residual stream, whose part in the loss the test chooses.
class Probe : public Tuner {
 public:
  enum Kind { alive, unreached, zero, writes_base, one_row };
  Probe(Model& model, Kind kind)
      : model_(model), kind_(kind), rows_(tuner_parameter(model, {1, model.config().width})),
        unused_(tuner_parameter(model, {4, model.config().width})) {}
  std::string method() const override { return "probe"; }
  OptionMap options() const override { return {}; }
  std::vector<NamedParameter> parameters() override {
    return {{"probe.extra", &unused_, 0, 4}, {"probe.rows", &rows_, 0, 1}};
  }
  double default_learning_rate() const override { return 1e-2; }
  double live_share(std::string_view name) const override { return name == "probe.extra" ? share : 1; }
  Var layer_input(Pass& pass, StackKind, int layer, Var x, const Layout& layout) override {
    if (layer != 0) return x;
    if (kind_ == writes_base) model_.decoder->final_norm.weight.value.data<float>()[3] += 1e-3f;
    const auto add = [&](const Parameter& p, float scale, int32_t row) {
      const auto map =
          std::make_shared<RowMap>(std::vector<int32_t>(size_t(layout.size()), row), p.value.rows(), x.value.device());
      x = apply(Add{scale}, x, apply(TakeRows{map, 1, x.value.dtype()}, pass(p), Var()));
    };
    add(rows_, 1, 0);
    if (kind_ != unreached) add(unused_, kind_ == zero ? 0.f : 1.f, 0);
    if (kind_ != one_row && kind_ != unreached)
      for (const int32_t row : {1, 2, 3}) add(unused_, kind_ == zero ? 0.f : 1.f, row);
    return x;
  }
  double share = 1;

 private:
  Model& model_;
  Kind kind_;
  Parameter rows_, unused_;
};

TEST(Trainer, AuditNamesWhatDoesNotLearn) {
  const auto probe = [](Probe::Kind kind, double share, int64_t steps, DType dtype = DType::f32) {
    const auto model = golden_model("gpt2", dtype);
    Probe tuner(*model, kind);
    tuner.share = share;
    Record record;
    TrainedSet trained(*model, tuner);
    Trainer trainer(*model, tuner, trained, {.examples = random_batch(model->config(), kLengths)}, {.steps = steps});
    trainer.run(record);
    return record.steps.size();
  };
  EXPECT_EQ(probe(Probe::alive, 1, 12), 12u);
  expect_error<Error>([&] { probe(Probe::unreached, 1, 12); },
                      {"step 1", "probe.extra [4,24]", "no gradient reached it"});
  expect_error<Error>([&] { probe(Probe::zero, 1, 12); }, {"step 10", "probe.extra", "0 % of its scalars", "100 %"});
  expect_error<Error>([&] { probe(Probe::zero, 1, 4); }, {"step 4", "probe.extra"});  // fewer steps: at the last
  EXPECT_EQ(probe(Probe::zero, 1, 1), 1u);                                            // too few to know
  expect_error<Error>([&] { probe(Probe::unreached, 1, 1); }, {"step 1", "probe.extra"});
  expect_error<Error>([&] { probe(Probe::one_row, 0.5, 12); }, {"step 10", "probe.extra", "25 %", "50 %"});
  EXPECT_EQ(probe(Probe::one_row, 0.25, 12), 12u);  // what the tuner declares is enough
  // Chance may have left out a part in few steps, or where sums are rounded; not in many.
  EXPECT_EQ(probe(Probe::zero, 1, 3), 3u);
  EXPECT_EQ(probe(Probe::one_row, 0.5, 9), 9u);
  EXPECT_EQ(probe(Probe::one_row, 0.5, 49, DType::bf16), 49u);
  expect_error<Error>([&] { probe(Probe::zero, 1, 12, DType::bf16); }, {"step 9", "probe.extra", "0 % of its scalars"});
  expect_error<Error>([&] { probe(Probe::one_row, 0.5, 60, DType::bf16); }, {"step 50", "probe.extra", "25 %"});
}

TEST(Trainer, AuditAcceptsEveryTuner) {
  const std::vector<std::pair<std::string, OptionMap>> tuners = {
      {"prompt", {}},
      {"prefix", {}},
      {"prefix", {{"reparametrize", "1"}, {"hidden", "16"}}},
      {"adapter", {}},
      {"adapter", {{"kind", "pfeiffer"}}},
      {"adapter", {{"kind", "parallel"}}},
      {"lora", {{"targets", "query,key,value,output,up,down"}}},
      {"top_layers", {{"layers", "1"}}},
      {"full", {}}};
  for (const char* name : {"gpt2", "llama_gqa", "bert", "roberta", "t5", "t5_1_1", "bart"})
    for (const auto& [method, options] : tuners) {
      EXPECT_EQ(run(name, method, options, {.steps = 10}).record.steps.size(), 10u) << name << " " << method;
    }
}

TEST(Trainer, NoticesAChangedBase) {
  const auto model = golden_model("gpt2");
  Probe tuner(*model, Probe::writes_base);
  TrainedSet trained(*model, tuner);
  Trainer trainer(*model, tuner, trained, {.examples = random_batch(model->config(), kLengths)}, {.steps = 3});
  Record record;
  expect_error<Error>([&] { trainer.run(record); }, {"frozen base changed", "nothing is saved"});
  EXPECT_TRUE(record.saved.empty());
}

TEST(Trainer, ChecksumSeesEveryFrozenBit) {
  const auto model = golden_model("gpt2");
  const auto tuner = make_tuner("top_layers", {{"layers", "1"}}, {.model = *model});
  const TrainedSet trained(*model, *tuner);
  const uint64_t before = frozen_checksum(*model, trained);
  for (const NamedParameter& p : model->parameters()) {
    float* value = p.value().data<float>() + p.value().size() - 1;
    const float old = *value;
    *value = std::nextafter(old, 100.f);
    EXPECT_EQ(frozen_checksum(*model, trained) == before, tuner->trains(p.name)) << p.name;
    *value = old;
  }
  EXPECT_EQ(frozen_checksum(*model, trained), before);
}

TEST(Trainer, StopsAtWhatIsNotFinite) {
  const auto fails = [](const std::function<void(Model&, Tuner&)>& spoil, const TrainOptions& options,
                        std::initializer_list<std::string_view> parts) {
    const auto model = golden_model("gpt2");
    const auto tuner = make_tuner("lora", {}, {.model = *model});
    spoil(*model, *tuner);
    TrainedSet trained(*model, *tuner);
    Trainer trainer(*model, *tuner, trained, {.examples = random_batch(model->config(), kLengths)}, options);
    Record record;
    expect_error<Error>([&] { trainer.run(record); }, parts);
    return record;
  };
  const auto record =
      fails([](Model&, Tuner& t) { t.parameters()[0].value().data<float>()[5] = std::nanf(""); }, {.steps = 3},
            {"step 1", "loss is nan", "the gradient of decoder.layers.0", "last checkpoint"});
  EXPECT_TRUE(record.steps.empty() && record.saved.empty());
  // All scores of a query's head: attention must not take them for a row that sees nothing.
  fails([](Model&, Tuner& t) { t.parameters()[1].value().data<float>()[3] = std::nanf(""); }, {.steps = 3},
        {"step 1", "loss is nan"});
  // A rate that throws the values out of range: the step before is the last one saved.
  const auto wild =
      fails([](Model&, Tuner&) {}, {.optimizer = "sgd", .lr = 1e29, .clip = 0, .steps = 50, .save_every = 1},
            {"step ", "not finite"});
  EXPECT_LT(wild.saved.size(), 50u);
}

TEST(Trainer, EvaluatesTheDevSet) {
  const auto model = golden_model("gpt2");
  const auto tuner = make_tuner("lora", {}, {.model = *model});
  TrainedSet trained(*model, *tuner);
  const Batch examples = random_batch(model->config(), kLengths), dev = random_batch(model->config(), {5, 9, 12}, 7);
  Trainer trainer(*model, *tuner, trained, {examples, dev},
                  {.lr = 1e-2, .batch_size = 4, .epochs = 3, .dropout = {0.5f, 0.5f, 0.5f, 0.5f}});
  // The mean over all scored tokens, whatever the batches; no dropout.
  Hooks none;
  Pass pass(none);
  const Model::Loss loss = model->loss(pass, dev, {.gradient_scale = 1, .gradient = false});
  EXPECT_NEAR(trainer.evaluate(), to_array(loss.sum.value)(0) / double(loss.scored), 1e-6);
  Record record;
  trainer.run(record);
  ASSERT_EQ(record.dev.size(), 3u);  // at the end of each epoch
  EXPECT_EQ(*trainer.best_dev, *std::min_element(record.dev.begin(), record.dev.end()));
}

TEST(BaseTuners, ChooseTheirParameters) {
  const auto names = [](const char* model_name, const std::string& method, const OptionMap& options) {
    const auto model = golden_model(model_name);
    const auto tuner = make_tuner(method, options, {.model = *model});
    std::vector<std::string> all;
    for (const auto& [name, value] : values_of(*model, *tuner)) all.push_back(name);
    return all;
  };
  const auto top = names("llama_gqa", "top_layers", {{"layers", "1"}});
  EXPECT_EQ(top, (std::vector<std::string>{
                     "decoder.final_norm.weight", "decoder.layers.1.feed_forward.down.weight",
                     "decoder.layers.1.feed_forward.gate.weight", "decoder.layers.1.feed_forward.up.weight",
                     "decoder.layers.1.feed_forward_norm.weight", "decoder.layers.1.self_attention.key.weight",
                     "decoder.layers.1.self_attention.output.weight", "decoder.layers.1.self_attention.query.weight",
                     "decoder.layers.1.self_attention.value.weight", "decoder.layers.1.self_attention_norm.weight"}));
  for (const std::string& name : names("bert", "top_layers", {{"layers", "1"}}))
    EXPECT_TRUE(name.starts_with("encoder.layers.1.")) << name;
  for (const std::string& name : names("t5", "top_layers", {}))
    EXPECT_TRUE(name.starts_with("decoder.layers.") || name == "decoder.final_norm.weight") << name;
  const auto model = golden_model("bart");
  size_t constants = 0;
  for (const NamedParameter& p : model->parameters()) constants += p.parameter->buffer;
  EXPECT_EQ(constants, 1u);  // final_logits_bias
  EXPECT_EQ(names("bart", "full", {}).size(), model->parameters().size() - constants);
  expect_error<InputError>([&] { names("gpt2", "top_layers", {{"layers", "3"}}); }, {"layers=3", "2"});
  expect_error<InputError>([&] { names("gpt2", "full", {{"layers", "3"}}); }, {"full has no option layers"});
}

}  // namespace
}  // namespace cambium::testing
