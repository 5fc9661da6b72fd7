// LoRA against its definition: W + (alpha / rank) B A.
#include "tests/support/files.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

std::unique_ptr<Tuner> lora(Model& model, OptionMap options, uint64_t seed = 5) {
  return make_tuner("lora", options, {.model = model, .seed = seed});
}

const std::vector<std::string> kModels = {"gpt2", "llama_gqa", "llama_bias", "bert", "t5", "t5_1_1", "bart"};

TEST(Lora, StartsAsTheBase) {
  for (const std::string& name : kModels)
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const auto model = golden_model(name, dtype);
      const Batch batch = random_batch(model->config(), {5, 9, 1});
      Hooks none;
      const auto base = logits_of(*model, none, batch);
      for (const char* targets : {"query,value", "query,key,value,output,up,down", "query_key_value"}) {
        if (model->config().is_seq2seq() && std::string(targets) == "query_key_value") continue;
        const auto tuner = lora(*model, {{"targets", targets}});
        const auto tuned = logits_of(*model, *tuner, batch);
        for (size_t s = 0; s < batch.size(); ++s) EXPECT_TRUE(same_bits(tuned[s], base[s])) << name << " " << targets;
      }
    }
}

// The weight of each adapted product with scale * B A added by plain loops.
void add_by_definition(Model& model, Tuner& tuner, double scale) {
  std::map<std::string, NamedParameter> weights;
  for (const NamedParameter& p : model.parameters()) weights[p.name] = p;
  const auto parameters = tuner.parameters();
  for (size_t i = 0; i < parameters.size(); i += 2) {
    std::string module = parameters[i].name.substr(0, parameters[i].name.rfind('.'));
    const Array a = to_array(parameters[i].value()), b = to_array(parameters[i + 1].value());
    int64_t first = 0;
    if (!weights.count(module + ".weight")) {  // a part of GPT-2's fused product, or the three parts of others
      const std::string part = module.substr(module.rfind('.') + 1);
      const std::string site = module.substr(0, module.rfind('.'));
      if (part == "query_key_value") {
        for (const char* p : {".query", ".key", ".value"}) {
          Tensor w = weights.at(site + p + ".weight").value();
          for (int64_t r = 0; r < w.rows(); ++r, ++first)
            for (int64_t c = 0; c < w.cols(); ++c)
              for (int64_t k = 0; k < a.rows(); ++k)
                w.data<double>()[r * w.cols() + c] += scale * b(first, k) * a(k, c);
        }
        continue;
      }
      module = site + ".query_key_value";
      first = (part == "query" ? 0 : part == "key" ? 1 : 2) * a.cols();
    }
    const Tensor w = weights.at(module + ".weight").value();
    for (int64_t r = 0; r < b.rows(); ++r)
      for (int64_t c = 0; c < a.cols(); ++c)
        for (int64_t k = 0; k < a.rows(); ++k)
          w.data<double>()[(first + r) * w.cols() + c] += scale * b(r, k) * a(k, c);
  }
}

TEST(Lora, IsItsDefinition) {
  for (const std::string& name : kModels)
    for (const char* targets : {"query,value", "key", "output,down", "up", "query_key_value"}) {
      const auto model = golden_model(name, DType::f64), changed = golden_model(name, DType::f64);
      const auto tuner = lora(*model, {{"targets", targets}, {"rank", "3"}, {"alpha", "4.5"}});
      randomize(*tuner, 1);
      add_by_definition(*changed, *tuner, 1.5);
      const Batch batch = random_batch(model->config(), {6, 2, 9});
      Hooks none;
      const auto by_hook = logits_of(*model, *tuner, batch), by_weights = logits_of(*changed, none, batch);
      const auto base = logits_of(*model, none, batch);
      for (size_t s = 0; s < batch.size(); ++s)
        expect_close(to_array(by_hook[s]), to_array(by_weights[s]), 1e-11, 1e-12, name + " " + targets);
      EXPECT_FALSE(same_bits(by_hook[0], base[0])) << name << " " << targets;

      // Merging is the same sum.
      ASSERT_TRUE(tuner->merge_into(*model));
      const auto merged = logits_of(*model, none, batch);
      for (size_t s = 0; s < batch.size(); ++s)
        expect_close(to_array(merged[s]), to_array(by_weights[s]), 1e-11, 1e-12, name + " merged " + targets);
    }
}

TEST(Lora, MergesWithinRounding) {
  for (const std::string& name : kModels)
    for (const auto& [dtype, bound] : {std::pair{DType::f32, 1e-5}, {DType::bf16, 2e-2}}) {
      const auto model = golden_model(name, dtype);
      const auto tuner = lora(*model, {{"rank", "4"}});
      randomize(*tuner, 2, 0.1);
      const Batch batch = random_batch(model->config(), {7, 4});
      Hooks none;
      const auto unmerged = logits_of(*model, *tuner, batch);
      // What merging should leave: the sum, rounded once to the weights' type.
      const auto exact = golden_model(name, DType::f64);
      const auto own = model->parameters(), reference = exact->parameters();
      for (size_t i = 0; i < own.size(); ++i) reference[i].value().copy_from(own[i].value().to(DType::f64));
      add_by_definition(*exact, *tuner, 4);

      ASSERT_TRUE(tuner->merge_into(*model));
      for (size_t i = 0; i < own.size(); ++i) {
        const Array value = to_array(own[i].value()), sum = to_array(reference[i].value());
        const double half = own[i].value().dtype() == DType::bf16 ? 1.01 / 256 : 1e-6;  // half a unit in the last place
        for (int64_t k = 0; k < value.size(); ++k)
          ASSERT_NEAR(value(k), sum(k), half * std::abs(sum(k)) + 1e-7) << own[i].name << ", element " << k;
      }
      const auto merged = logits_of(*model, none, batch);
      for (size_t s = 0; s < batch.size(); ++s)
        expect_close(to_array(merged[s]), to_array(unmerged[s]), bound, bound, name + text(" ", name_of(dtype)));
    }
}

TEST(Lora, HasTheParametersOfItsTargets) {
  const auto model = golden_model("llama_gqa");  // width 32, 4 heads of 8, 2 of them for keys, inner 48, 2 layers
  const auto shapes = [&](const OptionMap& options) {
    std::map<std::string, Shape> all;
    const auto tuner = lora(*model, options);
    for (const NamedParameter& p : tuner->parameters()) all[p.name] = p.value().shape();
    return all;
  };
  const auto standard = shapes({});
  ASSERT_EQ(standard.size(), 8u);
  EXPECT_EQ(standard.at("decoder.layers.1.self_attention.query.lora_a"), (Shape{8, 32}));
  EXPECT_EQ(standard.at("decoder.layers.1.self_attention.query.lora_b"), (Shape{32, 8}));
  EXPECT_EQ(standard.at("decoder.layers.0.self_attention.value.lora_b"), (Shape{16, 8}));
  const auto feed = shapes({{"rank", "2"}, {"targets", "gate,down"}});
  ASSERT_EQ(feed.size(), 8u);
  EXPECT_EQ(feed.at("decoder.layers.0.feed_forward.gate.lora_b"), (Shape{48, 2}));
  EXPECT_EQ(feed.at("decoder.layers.0.feed_forward.down.lora_a"), (Shape{2, 48}));
  const auto t5 = golden_model("t5");
  size_t cross = 0;
  const auto tuner = lora(*t5, {});
  for (const NamedParameter& p : tuner->parameters()) cross += p.name.find("cross_attention") != p.name.npos;
  EXPECT_EQ(cross, size_t(4 * t5->config().decoder.layers));  // A and B of query and value
}

TEST(Lora, IsInsideTheFeedForwardLayersOfItsTargetsAlone) {
  const auto model = golden_model("gpt2");
  const Site site{StackKind::decoder, 1, Place::feed_forward};
  for (const auto& [targets, inside] :
       {std::pair{"query,value", false}, {"query_key_value,output", false}, {"up", true}, {"down", true}})
    EXPECT_EQ(lora(*model, {{"targets", targets}})->reaches_inside(site), inside) << targets;
}

TEST(Lora, StartsFromTheSeed) {
  const auto model = golden_model("llama_gqa");
  const auto one = lora(*model, {{"rank", "4"}}, 1), again = lora(*model, {{"rank", "4"}}, 1),
             other = lora(*model, {{"rank", "4"}}, 2);
  double largest = 0, square = 0;
  int64_t count = 0;
  for (size_t i = 0; i < one->parameters().size(); ++i) {
    const Tensor a = one->parameters()[i].value();
    EXPECT_TRUE(same_bits(a, again->parameters()[i].value()));
    if (one->parameters()[i].name.ends_with("lora_b")) {
      EXPECT_EQ(to_array(a).largest(), 0);
      continue;
    }
    EXPECT_FALSE(same_bits(a, other->parameters()[i].value()));
    largest = std::max(largest, to_array(a).largest());
    for (const double x : to_array(a).values) square += x * x, ++count;
  }
  const double bound = 1 / std::sqrt(32.0);  // uniform: the standard deviation is bound / sqrt(3)
  EXPECT_LE(largest, bound);
  EXPECT_GT(largest, 0.95 * bound);
  EXPECT_NEAR(std::sqrt(square / double(count)), bound / std::sqrt(3.0), 0.05 * bound);
}

TEST(Lora, DropsInTrainingAlone) {
  const auto model = golden_model("gpt2");
  const auto tuner = lora(*model, {{"dropout", "0.4"}});
  randomize(*tuner, 3);
  const Batch batch = random_batch(model->config(), {6, 8});
  const auto hidden = [&](bool record, std::optional<uint64_t> step, int count) {
    set_threads(count);
    Tape tape;
    Pass pass = record ? Pass(*tuner, tape) : Pass(*tuner);
    if (step) pass.set_dropout({}, 7, *step);
    if (record) TrainedSet(*model, *tuner).enter(pass);
    return model->hidden(pass, batch).rows.value.clone();
  };
  const int before = threads();
  const Tensor plain = hidden(false, {}, 1);
  EXPECT_TRUE(same_bits(hidden(true, {}, 1), plain));  // gradients without dropout: cambium forward --gradients
  EXPECT_FALSE(same_bits(hidden(true, 1, 1), plain));
  EXPECT_TRUE(same_bits(hidden(true, 1, 1), hidden(true, 1, 2)));
  EXPECT_FALSE(same_bits(hidden(true, 1, 1), hidden(true, 2, 1)));
  set_threads(before);
}

// Keys and values of cross-attention are dropped by the tokens of the encoder, of which there may be more: a sequence
// has its own bits in every batch.
TEST(Lora, DropsByTheTokensThatAreRead) {
  for (const char* name : {"t5", "bart"}) {
    const auto model = golden_model(name);
    const auto tuner = lora(*model, {{"dropout", "0.4"}, {"targets", "query,key,value,output"}});
    randomize(*tuner, 3);
    Batch batch = random_batch(model->config(), {9, 12, 7});
    for (Sequence& s : batch) s.labels.resize(2 + size_t(s.index));
    const auto hidden = [&](const Batch& part) {
      Tape tape;
      Pass pass(*tuner, tape);
      pass.set_dropout({}, 7, 1);
      TrainedSet(*model, *tuner).enter(pass);
      const Model::Hidden h = model->hidden(pass, part);
      return h.rows.value.rows(h.begin.back(), h.begin.back() + h.length.back()).clone();
    };
    for (size_t s = 0; s < batch.size(); ++s)
      EXPECT_TRUE(same_bits(hidden({batch.begin(), batch.begin() + long(s) + 1}), hidden({batch[s]}))) << name << s;
  }
}

TEST(Lora, OptionsAreChecked) {
  const auto model = golden_model("gpt2");
  const auto refused = [&](const OptionMap& options, std::initializer_list<std::string_view> parts) {
    expect_error<InputError>([&] { lora(*model, options); }, parts);
  };
  refused({{"rank", "0"}}, {"lora", "rank=0", "1"});
  refused({{"rank", "1.5"}}, {"rank=1.5"});
  refused({{"rank", "99999999999999999999"}}, {"rank"});
  refused({{"alpha", "nan"}}, {"alpha=nan"});
  refused({{"alpha", "-1"}}, {"alpha=-1"});
  refused({{"dropout", "1"}}, {"dropout=1"});
  refused({{"targets", "query,foo"}}, {"targets=foo", "matches nothing", "query, key, value"});
  refused({{"targets", "gate"}}, {"targets=gate", "matches nothing"});  // GPT-2 has none
  refused({{"targets", ""}}, {"targets="});
  refused({{"tragets", "query"}}, {"no option tragets", "targets"});
  expect_error<InputError>([&] { make_tuner("lroa", {}, {.model = *model}); }, {"lroa", "lora"});
}

// What the checkpoint stores reads back as the same number.
TEST(Lora, OptionsKeepTheirDigits) {
  const auto model = golden_model("gpt2");
  const auto tuner = lora(*model, {{"alpha", "0.12345678901234567"}, {"dropout", "0.30000000000000004"}});
  const auto again = lora(*model, tuner->options());
  EXPECT_EQ(again->effective_scale(), tuner->effective_scale());
  EXPECT_EQ(again->options(), tuner->options());
  EXPECT_EQ(tuner->options().at("dropout"), "0.30000000000000004");
}

}  // namespace
}  // namespace cambium::testing
