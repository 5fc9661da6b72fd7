// Prompts: equal to real tokens in front, whatever the model does with positions, and each way to start.
#include <set>

#include "models/generation.h"
#include "tests/support/files.h"
#include "tests/support/tuning.h"
#include "tuning/checkpoint.h"

namespace cambium::testing {
namespace {

std::unique_ptr<Tuner> prompt(const TunerContext& context, const OptionMap& options) {
  return make_tuner("prompt", options, context);
}

TEST(Prompt, OfATextEqualsTheTextInFront) {
  for (const char* name : {"gpt2", "gpt2_inner", "llama_gqa", "llama_bias", "bert", "roberta", "t5", "t5_1_1", "bart"})
    for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
      const auto model = golden_model(name, dtype);
      const TunerContext context = letters_context(*model);
      const auto tuner = prompt(context, {{"length", "5"}, {"init", "text"}, {"text", "cdefg"}});
      const Batch batch = random_batch(model->config(), {6, 1, 9});
      Batch longer = batch;
      const auto words = context.tokenize("cdefg");
      for (Sequence& s : longer) {
        s.ids.insert(s.ids.begin(), words.begin(), words.end());
        if (!model->config().is_seq2seq()) s.labels.clear();
      }
      Hooks none;
      const auto tuned = logits_of(*model, *tuner, batch), behind = logits_of(*model, none, longer);
      for (size_t s = 0; s < batch.size(); ++s) {
        const int64_t skip = model->config().is_seq2seq() ? 0 : 5;
        EXPECT_TRUE(same_bits(tuned[s], behind[s].rows(skip, behind[s].rows())))
            << name << " " << name_of(dtype) << " sequence " << s;
      }
      if (model->config().is_encoder() || dtype == DType::f64) continue;  // generation is float32
      GenerationOptions options{.max_new_tokens = 6, .eos = std::vector<int32_t>()};
      std::vector<std::vector<int32_t>> inputs, long_inputs;
      for (size_t s = 0; s < batch.size(); ++s) inputs.push_back(batch[s].ids), long_inputs.push_back(longer[s].ids);
      const auto one = generate(*model, *tuner, inputs, options), other = generate(*model, none, long_inputs, options);
      for (size_t s = 0; s < inputs.size(); ++s) EXPECT_EQ(one[s][0].ids, other[s][0].ids) << name;
    }
}

TEST(Prompt, CanStandInTheDecoderOfBoth) {
  for (const char* name : {"t5", "bart"}) {
    const auto model = golden_model(name);
    const Batch batch = random_batch(model->config(), {5, 8});
    std::map<std::string, Tensor> seen;
    for (const char* where : {"encoder", "decoder", "both"}) {
      const auto tuner = prompt(letters_context(*model), {{"length", "3"}, {"where", where}, {"init", "random"}});
      const auto logits = logits_of(*model, *tuner, batch);
      EXPECT_EQ(logits[1].rows(), int64_t(batch[1].labels.size())) << where;  // virtual rows are left out
      for (const auto& [other, tensor] : seen) EXPECT_FALSE(same_bits(tensor, logits[0])) << other << " " << where;
      seen[where] = logits[0];
      EXPECT_EQ(tuner->parameters().size(), std::string(where) == "both" ? 2u : 1u);
    }
  }
}

// The embedding as layers see it.
Array table_of(Model& model) {
  Array table = to_array(model.embedding.weight.value);
  for (double& x : table.values) x = double(float(x * double(model.config().embedding_scale)));
  return table;
}

TEST(Prompt, StartsInEachWay) {
  for (const char* name : {"gpt2", "t5", "bart"}) {
    const auto model = golden_model(name);
    const TunerContext context = letters_context(*model);
    const Array table = table_of(*model);
    const int64_t width = model->config().width;
    const auto start = [&](OptionMap options) {
      options["length"] = options.count("length") ? options["length"] : "12";
      return to_array(prompt(context, options)->parameters()[0].value());
    };
    // The number of the table's row, or -1.
    const auto token = [&](const Array& rows, int64_t row) {
      for (int64_t id = 0; id < table.rows(); ++id)
        if (std::equal(&rows.values[size_t(row * width)], &rows.values[size_t((row + 1) * width - 1)] + 1,
                       &table.values[size_t(id * width)]))
          return id;
      return int64_t(-1);
    };
    const Array vocabulary = start({});
    std::set<int64_t> tokens;
    for (int64_t r = 0; r < 12; ++r) tokens.insert(token(vocabulary, r));
    EXPECT_EQ(tokens.size(), 12u) << name << ": each token once";
    EXPECT_FALSE(tokens.count(-1)) << name;

    const Array random = start({{"init", "random"}});
    EXPECT_LE(random.largest(), 0.5);
    EXPECT_GT(random.largest(), 0.45);

    const Array words = start({{"init", "text"}, {"text", "bcd"}});
    for (int64_t r = 0; r < 12; ++r) EXPECT_EQ(token(words, r), context.tokenize("bcd")[size_t(r % 3)]) << name;
    const Array of_task = start({{"init", "text"}});
    for (int64_t r = 0; r < 12; ++r) EXPECT_EQ(token(of_task, r), context.tokenize("abcde")[size_t(r % 5)]) << name;

    const Array labels = start({{"init", "labels"}});  // "ab", "c"
    const auto ab = context.tokenize("ab");
    for (int64_t d = 0; d < width; ++d)
      EXPECT_NEAR(labels(0, d), (table(ab[0], d) + table(ab[1], d)) / 2, 1e-6 * (1 + std::abs(labels(0, d)))) << name;
    EXPECT_EQ(token(labels, 1), context.tokenize("c")[0]);
    for (int64_t r = 2; r < 12; ++r) EXPECT_GE(token(labels, r), 0) << name;
  }
}

// Only tokens of text are drawn: neither those that the configuration names nor those that the tokenizer has no text
// for.
TEST(Prompt, StartsFromTokensOfTextAlone) {
  for (const char* name : {"gpt2", "t5", "bart", "bert"}) {
    const auto model = golden_model(name);
    const ModelConfig& c = model->config();
    TunerContext context = letters_context(*model);
    const auto rows_of = [&](int64_t length, const char* init) {
      return to_array(prompt(context, {{"length", std::to_string(length)}, {"init", init}})->parameters()[0].value());
    };
    const Array table = table_of(*model);
    const auto expect_drawn = [&](const std::set<int32_t>& allowed) {
      for (const char* init : {"vocabulary", "labels"}) {
        const Array rows = rows_of(int64_t(allowed.size()), init);
        std::multiset<double> seen, wanted;  // first channels tell tokens apart
        for (int64_t r = init[0] == 'l' ? 2 : 0; r < rows.rows(); ++r) seen.insert(rows(r, 0));
        for (const int32_t id : allowed) wanted.insert(table(id, 0));
        if (init[0] == 'v') {
          EXPECT_EQ(seen, wanted) << name;
        }
        for (const double x : seen) EXPECT_TRUE(wanted.count(x)) << name << " " << init;
      }
      expect_error<InputError>([&] { rows_of(int64_t(allowed.size()) + 1, "vocabulary"); },
                               {text("the ", allowed.size(), " tokens of text")});
    };
    std::set<int32_t> allowed;
    for (int32_t id = 0; id < c.vocabulary; ++id) allowed.insert(id);
    for (const auto& id : {c.bos, c.pad, c.mask, c.decoder_start})
      if (id) allowed.erase(*id);
    for (const int32_t id : c.eos) allowed.erase(id);
    EXPECT_LT(int64_t(allowed.size()), c.vocabulary) << name;
    expect_drawn(allowed);
    context.is_text = [](int32_t id) { return id % 5 != 0 && id < 40; };
    std::erase_if(allowed, [&](int32_t id) { return !context.is_text(id); });
    expect_drawn(allowed);
  }
}

TEST(Prompt, StartsFromAFile) {
  const auto model = golden_model("gpt2");
  const TunerContext context = letters_context(*model);
  const auto tuner = prompt(context, {{"length", "6"}, {"init", "random"}});
  const TemporaryDirectory folder;
  const TrainedSet trained(*model, *tuner);
  save_checkpoint(folder / "prompt.h5", *tuner, trained, nullptr, {}, {}, {});
  const auto copy = prompt(context, {{"length", "6"}, {"init", "file"}, {"file", folder / "prompt.h5"}});
  EXPECT_TRUE(same_bits(copy->parameters()[0].value(), tuner->parameters()[0].value()));
  expect_error<InputError>(
      [&] {
        prompt(context, {{"length", "5"}, {"init", "file"}, {"file", folder / "prompt.h5"}});
      },
      {"[6,24]", "[5,24]"});
  expect_error<InputError>([&] { prompt(context, {{"init", "file"}, {"file", folder / "none.h5"}}); }, {"none.h5"});
  expect_error<InputError>([&] { prompt(context, {{"init", "file"}}); }, {"file="});
}

TEST(Prompt, OptionsAreChecked) {
  const auto gpt2 = golden_model("gpt2"), bert = golden_model("bert");
  TunerContext context = letters_context(*gpt2);
  expect_error<InputError>([&] { prompt(context, {{"where", "encoder"}}); }, {"where=encoder", "no encoder"});
  expect_error<InputError>([&] { prompt(context, {{"where", "both"}}); }, {"where=both"});
  expect_error<InputError>(
      [&] {
        prompt(letters_context(*bert), {{"where", "decoder"}});
      },
      {"where=decoder", "no decoder"});
  expect_error<InputError>([&] { prompt(context, {{"length", "100000"}}); }, {"100000"});
  expect_error<InputError>([&] { prompt(context, {{"init", "zero"}}); }, {"init=zero", "vocabulary"});
  expect_error<InputError>([&] { prompt(context, {{"init", "text"}, {"text", " "}}); }, {"no tokens"});
  context.labels = {};
  expect_error<InputError>([&] { prompt(context, {{"init", "labels"}}); }, {"init=labels", "label words"});
  context.tokenize = {};
  expect_error<InputError>([&] { prompt(context, {{"init", "text"}}); }, {"tokenizer"});
}

}  // namespace
}  // namespace cambium::testing
