// The list of methods is what README's table and the programs' help say.
#include "tuning/methods.h"

#include "core/files.h"
#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

// Whether a method has something to train on a model, and its gradient arrives everywhere.
std::string trains(const Method& method, const char* name) {
  const auto model = golden_model(name);
  try {
    const auto tuner = make_tuner(method.name, {}, letters_context(*model));
    const TrainedSet trained(*model, *tuner);
    Tape tape;
    Pass pass(*tuner, tape);
    trained.enter(pass);
    tape.backward(model->loss(pass, random_batch(model->config(), {2, 2}), {.gradient_scale = 1}).sum,
                  Tensor::of(std::vector<float>{1}));
    for (const Tensor& g : trained.gradients(pass)) EXPECT_TRUE(g) << method.name << " " << name;
    return "yes";
  } catch (const InputError&) {
    return "no";
  }
}

std::string names_of_options(const Method& method) {
  std::string names;
  const OptionMap none;
  OptionReader reader(method.name, none);
  method.read(reader);
  for (const std::string& o : reader.help()) {
    std::string name = o.substr(0, o.find('='));
    if (const size_t dot = name.find('.'); dot != name.npos) name = name.substr(0, dot) + ".*";  // a child's, all of them
    if ((" " + names + " ").find(" " + name + " ") == names.npos) names += (names.empty() ? "" : " ") + name;
  }
  return names.empty() ? "" : "`" + names + "`";
}

// Remake README's table with what this test prints where they differ.
TEST(Methods, AreWhatTheReadmeSays) {
  const char* models[] = {"bert", "gpt2", "llama_gqa", "t5", "bart"};
  std::string table =
      "| method | options (`--option name=value`) | BERT, RoBERTa | GPT-2 | Llama | T5 | BART | merges | source |\n"
      "|---|---|---|---|---|---|---|---|---|\n";
  for (const Method& m : methods()) {
    table += text("| `", m.name, "` | ", names_of_options(m), " |");
    for (const char* model : models) table += " " + trains(m, model) + " |";
    table += text(" ", m.mergeable ? "yes" : "no", " | ", m.source, " |\n");
  }
  const std::string readme = read_text_file(source_path("README.md"));
  EXPECT_NE(readme.find(table), readme.npos) << "README.md should have\n" << table;
}

TEST(Methods, HelpHasDefaultsAndChoices) {
  EXPECT_EQ(options_help(method_named("top_layers")), "layers=2");
  const std::string adapter = options_help(method_named("adapter"));
  EXPECT_NE(adapter.find("kind=houlsby|pfeiffer|parallel"), adapter.npos) << adapter;
  const std::string mam = options_help(method_named("mam"));  // a recipe's own defaults
  for (const char* part : {"prefix.length=30 ", "adapter.bottleneck=512 ", "adapter.kind=parallel|houlsby|pfeiffer|lin "})
    EXPECT_NE(mam.find(part), mam.npos) << part << " in " << mam;
  for (const Method& m : methods()) EXPECT_EQ(default_learning_rate(m.name), m.learning_rate);
}

TEST(Methods, PatternsAndFlagsAreChecked) {
  const auto model = golden_model("gpt2");
  const auto refused = [&](const OptionMap& options, std::initializer_list<std::string_view> parts) {
    expect_error<InputError>([&] { make_tuner("lora", options, {.model = *model}); }, parts);
  };
  refused({{"rank_pattern", "query"}}, {"rank_pattern=query", "module:number"});
  refused({{"rank_pattern", "query:1.5"}}, {"1.5", "whole number"});
  refused({{"rank_pattern", "key:4"}}, {"rank_pattern", "\"key\"", "decoder.layers.0.self_attention.query"});
  refused({{"rank_pattern", "quer:4"}}, {"\"quer\""});  // whole pieces of names
  refused({{"alpha_pattern", "query:0"}}, {"alpha_pattern=query:0"});
  refused({{"rslora", "2"}}, {"rslora=2"});
  refused({{"rank", "33"}}, {"rank 33", "exceeds the 24", "query"});
  refused({{"plus_ratio", "0"}}, {"plus_ratio=0"});
}

ModelConfig encoder_shape(const char* family, int64_t vocabulary, int64_t width, int64_t layers, int64_t heads) {
  ModelConfig c;
  c.family = family, c.vocabulary = vocabulary, c.width = width;
  c.encoder = {layers, heads, heads, width / heads, 4 * width};
  c.norm_first = false, c.embedding_norm = true, c.final_norm = false, c.max_positions = 512, c.token_types = 1;
  c.language_head = c.tied_head = false;
  return c;
}

// What the papers count.
TEST(Methods, TrainAsManyScalarsAsPublished) {
  ModelConfig gpt2_medium;
  gpt2_medium.family = "gpt2", gpt2_medium.vocabulary = 50257, gpt2_medium.width = 1024;
  gpt2_medium.decoder = {24, 16, 16, 64, 4096};
  gpt2_medium.max_positions = 1024, gpt2_medium.fused_attention = true;
  const ModelConfig roberta_base = encoder_shape("roberta", 50265, 768, 12, 12),
                    bert_large = encoder_shape("bert", 30522, 1024, 24, 16);
  struct Row {
    const ModelConfig& shape;
    const char* method;
    OptionMap options;
    int64_t scalars;
  };
  const Row rows[] = {
      {roberta_base, "lora", {{"rank", "8"}}, 294'912},       // 0.3 M: Hu et al., table 2
      {roberta_base, "vera", {{"rank", "1024"}}, 43'008},     // 0.043 M: Kopiczko et al., table 2
      {roberta_base, "bitfit", {}, 102'144},                  // 0.1 M: Hu et al., table 2
      {bert_large, "bitfit", {}, 271'360},                    // 0.08 % of 335 M: Ben Zaken et al., table 1
      {roberta_base, "dora", {{"rank", "8"}}, 313'344},       // LoRA's and a magnitude for each output
      {gpt2_medium, "top_layers", {{"layers", "2"}}, 25'194'496},  // 25.19 M: Hu et al., table 3
      {gpt2_medium, "prefix", {{"length", "10"}}, 491'520},   // 0.1 % of 355 M: Li & Liang, table 1
  };
  for (const Row& r : rows) {
    Model model(r.shape, DType::f32, Device::cpu(), Model::Storage::none);
    const auto tuner = make_tuner(r.method, r.options, {.model = model, .initialize = false});
    EXPECT_EQ(TrainedSet(model, *tuner).scalars(), r.scalars) << r.shape.family << " " << r.method;
  }
}

// LoRA+: B learns at plus_ratio times A's rate, and a rate that was asked for goes first.
TEST(Methods, LoraPlusHasTwoRates) {
  const auto step = [](const OptionMap& options, const OptimizerOptions& optimizer) {
    const auto model = golden_model("gpt2");
    OptionMap all = options;
    all["rank"] = "2";
    const auto tuner = make_tuner("lora", all, {.model = *model, .seed = 3});
    randomize(*tuner, 5, 0.1);
    const auto before = values_of(*model, *tuner);
    train(*model, *tuner, random_batch(model->config(), {7, 9}),
          {.optimizer = "sgd", .optimizer_options = optimizer, .lr = 1e-3, .clip = 0, .steps = 1});
    const std::string module = "decoder.layers.0.self_attention.query.lora_";
    std::array<double, 2> moved{};
    const auto after = values_of(*model, *tuner);
    for (int i = 0; i < 2; ++i) {
      const std::string name = module + (i ? "b" : "a");
      moved[size_t(i)] = after.at(name).data<float>()[3] - before.at(name).data<float>()[3];
    }
    return moved;
  };
  const auto plain = step({}, {}), plus = step({{"plus_ratio", "16"}}, {}),
             asked = step({{"plus_ratio", "16"}}, {.rate_factors = {{"lora_b", 2}}});
  EXPECT_EQ(plus[0], plain[0]);
  EXPECT_NEAR(plus[1], 16 * plain[1], 0.02 * std::abs(plus[1]));
  EXPECT_NEAR(asked[1], 2 * plain[1], 0.02 * std::abs(asked[1]));
}

}  // namespace
}  // namespace cambium::testing
