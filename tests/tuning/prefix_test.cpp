// Prefixes: equal to real words in front, in each of their three ways, and at each kind of site.
#include <cmath>

#include "models/generation.h"
#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

std::unique_ptr<Tuner> prefix(const TunerContext& context, const OptionMap& options) {
  return make_tuner("prefix", options, context);
}

Batch with_words(const Batch& batch, const std::vector<int32_t>& words) {
  Batch longer = batch;
  for (Sequence& s : longer) s.ids.insert(s.ids.begin(), words.begin(), words.end());
  return longer;
}

// Learned positions and rotations, grouped heads, scores scaled by layer: what stands in front takes its places.
TEST(Prefix, OfRealWordsEqualsTheWordsInFront) {
  for (const char* name : {"gpt2", "gpt2_inner", "gpt2_inverse", "llama_gqa", "llama_bias"})
    for (const auto& [dtype, tolerance] : {std::pair{DType::f64, 1e-12}, {DType::f32, 5e-6}}) {
      const auto model = golden_model(name, dtype);
      const TunerContext context = letters_context(*model);
      Batch batch = random_batch(model->config(), {6, 1, 7});
      for (Sequence& s : batch) s.labels.clear();
      const auto tuner = prefix(context, {{"length", "5"}, {"words", "abcde"}});
      Hooks none;
      const auto behind = logits_of(*model, none, with_words(batch, context.tokenize("abcde"))),
                 tuned = logits_of(*model, *tuner, batch);
      for (size_t s = 0; s < batch.size(); ++s) {
        const Tensor last = behind[s].rows(5, behind[s].rows());
        expect_close(to_array(tuned[s]), to_array(last), tolerance, tolerance, text(name, " sequence ", s));
      }
      EXPECT_FALSE(same_bits(tuned[0], logits_of(*model, none, batch)[0]));

      // Decoding token by token too.
      GenerationOptions options{.max_new_tokens = 4, .eos = std::vector<int32_t>()};
      std::vector<std::vector<int32_t>> inputs, longer;
      for (const Sequence& s : batch) inputs.push_back(s.ids);
      for (const Sequence& s : with_words(batch, context.tokenize("abcde"))) longer.push_back(s.ids);
      const auto one = generate(*model, *tuner, inputs, options), other = generate(*model, none, longer, options);
      for (size_t s = 0; s < inputs.size(); ++s) EXPECT_EQ(one[s][0].ids, other[s][0].ids) << name;
    }
}

TEST(Prefix, RepeatsItsWords) {
  const auto model = golden_model("llama_gqa");
  const TunerContext context = letters_context(*model);
  const auto given = prefix(context, {{"length", "7"}, {"words", "abcabca"}}),
             repeated = prefix(context, {{"length", "7"}, {"words", "abc"}}), task = prefix(context, {{"length", "7"}}),
             spelled = prefix(context, {{"length", "7"}, {"words", "abcdeab"}});
  EXPECT_TRUE(same_bits(given->parameters()[0].value(), repeated->parameters()[0].value()));
  EXPECT_TRUE(same_bits(task->parameters()[0].value(), spelled->parameters()[0].value()));
}

// rows = Linear(tanh(Linear(table))), by plain loops. (Li & Liang 2021, section 4.3)
Array network_rows(const std::map<std::string, Array>& p, const std::string& group, const StackShape& shape,
                   int64_t length) {
  const Array &table = p.at(group + ".prefix.table"), &down = p.at(group + ".prefix.down.weight"),
              &up = p.at(group + ".prefix.up.weight");
  const int64_t width = shape.kv_width();
  Array rows({shape.layers, 2, length, shape.kv_heads, shape.head_size});
  for (int64_t t = 0; t < length; ++t) {
    std::vector<double> a(size_t(down.rows()));
    for (int64_t k = 0; k < down.rows(); ++k) {
      double sum = p.at(group + ".prefix.down.bias")(k);
      for (int64_t d = 0; d < table.cols(); ++d) sum += down(k, d) * table(t, d);
      a[size_t(k)] = std::tanh(sum);
    }
    for (int64_t o = 0; o < up.rows(); ++o) {
      double sum = p.at(group + ".prefix.up.bias")(o);
      for (int64_t k = 0; k < up.cols(); ++k) sum += up(o, k) * a[size_t(k)];
      rows((o / width * length + t) * width + o % width) = sum;  // [layer, key or value, t, channel]
    }
  }
  return rows;
}

std::map<std::string, Array> arrays_of(Tuner& tuner) {
  std::map<std::string, Array> all;
  for (const NamedParameter& p : tuner.parameters()) all[p.name] = to_array(p.value());
  return all;
}

TEST(Prefix, ReparametrisedIsItsDefinition) {
  for (const char* name : {"llama_gqa", "t5", "bart", "bert"}) {
    const auto model = golden_model(name, DType::f64);
    const TunerContext context = letters_context(*model);
    const auto network =
                   prefix(context, {{"length", "3"}, {"init", "random"}, {"reparametrize", "1"}, {"hidden", "11"}}),
               plain = prefix(context, {{"length", "3"}, {"init", "random"}});
    randomize(*network, 6, 0.3);
    const ModelConfig& c = model->config();
    for (const NamedParameter& p : plain->parameters()) {
      const std::string group = p.name.substr(0, p.name.find('.'));
      p.value().copy_from(to_tensor(
          network_rows(arrays_of(*network), group, group == "encoder" ? c.encoder : c.decoder, 3), DType::f64));
    }
    const Batch batch = random_batch(c, {4, 7});
    const auto one = logits_of(*model, *network, batch), other = logits_of(*model, *plain, batch);
    for (size_t s = 0; s < batch.size(); ++s) expect_close(to_array(one[s]), to_array(other[s]), 1e-12, 1e-12, name);
  }
}

TEST(Prefix, NetworkIsFittedToTheWords) {
  const auto model = golden_model("gpt2");
  const TunerContext context = letters_context(*model);
  const auto words = prefix(context, {{"length", "4"}}),
             fitted = prefix(context, {{"length", "4"}, {"reparametrize", "1"}, {"hidden", "64"}});
  const Array goal = to_array(words->parameters()[0].value()),
              rows = network_rows(arrays_of(*fitted), "decoder", model->config().decoder, 4);
  double error = 0, size = 0;
  for (int64_t i = 0; i < goal.size(); ++i)
    error += (goal(i) - rows(i)) * (goal(i) - rows(i)), size += goal(i) * goal(i);
  EXPECT_LT(error, 1e-3 * size);
}

TEST(Prefix, SitesAndShapes) {
  const auto names = [](Model& model, const OptionMap& options) {
    std::map<std::string, Shape> all;
    const auto tuner = prefix(letters_context(model), options);
    for (const NamedParameter& p : tuner->parameters()) all[p.name] = p.value().shape();
    return all;
  };
  const auto t5 = golden_model("t5"), llama = golden_model("llama_gqa"), bert = golden_model("bert");
  const ModelConfig& c = t5->config();
  const Shape encoder{c.encoder.layers, 2, 10, c.encoder.kv_heads, c.encoder.head_size},
      decoder{c.decoder.layers, 2, 10, c.decoder.kv_heads, c.decoder.head_size};
  using Names = std::map<std::string, Shape>;
  EXPECT_EQ(names(*t5, {}),
            (Names{{"cross.prefix", decoder}, {"decoder.prefix", decoder}, {"encoder.prefix", encoder}}));
  EXPECT_EQ(names(*t5, {{"sites", "cross,encoder"}}), (Names{{"cross.prefix", decoder}, {"encoder.prefix", encoder}}));
  EXPECT_EQ(names(*llama, {{"length", "2"}}), (Names{{"decoder.prefix", {2, 2, 2, 2, 8}}}));
  EXPECT_EQ(names(*bert, {}).count("encoder.prefix"), 1u);
  EXPECT_EQ(names(*llama, {{"reparametrize", "1"}, {"hidden", "7"}, {"init", "random"}}),
            (Names{{"decoder.prefix.table", {10, 32}},
                   {"decoder.prefix.down.weight", {7, 32}},
                   {"decoder.prefix.down.bias", {7}},
                   {"decoder.prefix.up.weight", {2 * 2 * 16, 7}},
                   {"decoder.prefix.up.bias", {2 * 2 * 16}}}));
}

// Each group acts where it should and nowhere else: with the other groups' sites left out, it alone changes the logits.
TEST(Prefix, EachGroupMatters) {
  for (const char* name : {"t5", "bart"}) {
    const auto model = golden_model(name);
    const Batch batch = random_batch(model->config(), {5, 8});
    Hooks none;
    const auto base = logits_of(*model, none, batch);
    std::vector<Tensor> seen{base[0]};
    for (const char* sites : {"encoder", "decoder", "cross"}) {
      const auto tuner = prefix(letters_context(*model), {{"sites", sites}, {"init", "random"}, {"length", "3"}});
      const Tensor logits = logits_of(*model, *tuner, batch)[0];
      for (const Tensor& other : seen) EXPECT_FALSE(same_bits(logits, other)) << name << " " << sites;
      seen.push_back(logits);
    }
  }
}

TEST(Prefix, MovesPositionsOfDecodersAlone) {
  const auto bart = golden_model("bart");
  const std::vector<std::vector<int32_t>> ids{random_ids(3, 50, 1), random_ids(2, 50, 2)};
  const std::vector<int64_t> index{0, 1};
  const std::vector<int> tuners{0, 0};
  const auto tuner = prefix(letters_context(*bart), {{"length", "4"}, {"init", "random"}});
  const auto positions = [&](StackKind kind) {
    Pass pass(*tuner);
    Layout layout(ids, index, tuners);
    Var rows;
    tuner->embedded(pass, kind, rows, layout);
    std::vector<int32_t> values;
    for (const Layout::Row& r : layout.rows) values.push_back(r.position);
    return values;
  };
  EXPECT_EQ(positions(StackKind::encoder), (std::vector<int32_t>{0, 1, 2, 0, 1}));
  EXPECT_EQ(positions(StackKind::decoder), (std::vector<int32_t>{4, 5, 6, 4, 5}));
  const auto cross = prefix(letters_context(*bart), {{"length", "4"}, {"init", "random"}, {"sites", "cross"}});
  EXPECT_EQ(tuner->position_shift(StackKind::decoder, 0), 4);
  EXPECT_EQ(tuner->position_shift(StackKind::encoder, 0), 0);
  EXPECT_EQ(cross->position_shift(StackKind::decoder, 0), 0);
}

TEST(Prefix, OptionsAreChecked) {
  const auto model = golden_model("gpt2");
  TunerContext context = letters_context(*model);
  expect_error<InputError>([&] { prefix(context, {{"sites", "cross"}}); }, {"sites=cross", "no such attention"});
  expect_error<InputError>(
      [&] {
        prefix(context, {{"sites", "middle"}});
      },
      {"sites=middle", "encoder, decoder, cross"});
  expect_error<InputError>([&] { prefix(context, {{"length", "0"}}); }, {"length=0"});
  expect_error<InputError>([&] { prefix(context, {{"length", "1000"}}); }, {"1000", "positions"});
  expect_error<InputError>([&] { prefix(context, {{"words", " "}}); }, {"no tokens"});
  expect_error<InputError>([&] { prefix(context, {{"init", "zeros"}}); }, {"init=zeros", "words, random"});
  context.tokenize = {};
  expect_error<InputError>([&] { prefix(context, {}); }, {"init=words", "tokenizer", "init=random"});
}

}  // namespace
}  // namespace cambium::testing
