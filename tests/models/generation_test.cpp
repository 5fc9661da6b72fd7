// Generation against transformers' generate on small random models; results do not depend on the batch.
#include "models/generation.h"

#include "models/load.h"
#include "tests/support/golden.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

GenerationOptions options_of(const json& j) {
  GenerationOptions o;
  o.max_new_tokens = j.value("max_new_tokens", 20);
  o.min_new_tokens = j.value("min_new_tokens", 0);
  o.beams = j.value("num_beams", 1);
  o.results = j.value("num_return_sequences", 1);
  o.length_penalty = j.value("length_penalty", 1.0);
  o.no_repeat_ngram = j.value("no_repeat_ngram_size", 0);
  o.forbidden = j.value("bad_words_ids", std::vector<std::vector<int32_t>>());
  o.eos = j.at("eos_token_ids").get<std::vector<int32_t>>();
  o.scores = true;
  return o;
}

class GoldenGeneration : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenGeneration, EqualsTransformers) {
  const json golden = parse_json_file(golden_path(std::string("generation/") + GetParam() + ".json"));
  const auto source = ModelSource::open(golden_path("models/" + golden.at("model").get<std::string>()));
  const auto model = load_model(*source, DType::f32);
  Hooks none;
  for (const json& c : golden.at("cases")) {
    const auto inputs = c.at("inputs").get<std::vector<std::vector<int32_t>>>();
    GenerationOptions options = options_of(c.at("options"));
    for (const int64_t batch : {1, 32}) {
      options.batch_size = batch;
      const auto results = generate(*model, none, inputs, options);
      ASSERT_EQ(results.size(), inputs.size());
      for (size_t i = 0; i < inputs.size(); ++i) {
        const json& expected = c.at("results").at(i);
        ASSERT_EQ(results[i].size(), expected.size()) << c.at("name");
        for (size_t k = 0; k < expected.size(); ++k) {
          EXPECT_EQ(results[i][k].ids, expected[k].at("ids").get<std::vector<int32_t>>())
              << c.at("name") << " input " << i << " result " << k;
          double score = 0;
          if (expected[k].contains("score")) score = expected[k].at("score");
          else
            for (const double p : expected[k].at("log_probabilities")) score += p / double(results[i][k].ids.size());
          EXPECT_NEAR(results[i][k].score, score, 2e-5) << c.at("name") << " input " << i << " result " << k;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenGeneration,
                         ::testing::Values("gpt2", "llama_gqa", "t5", "t5_1_1", "flan", "bart", "bart_old"),
                         [](const auto& info) { return std::string(info.param); });

class Sampling : public ::testing::Test {
 protected:
  std::unique_ptr<Model> model = load_model(*ModelSource::open(golden_path("models/llama_gqa")), DType::f32);
  std::vector<std::vector<int32_t>> inputs = {{1, 5, 9}, {4}, {7, 7, 7, 7, 2}};
  Hooks none;
};

TEST_F(Sampling, DependsOnSeedAloneAndNotOnTheBatch) {
  GenerationOptions options{
      .max_new_tokens = 10, .eos = std::vector<int32_t>(), .sample = true, .temperature = 1.5, .seed = 3};
  const auto ids = [&](GenerationOptions o) {
    std::vector<std::vector<int32_t>> all;
    for (const auto& r : generate(*model, none, inputs, o)) all.push_back(r[0].ids);
    return all;
  };
  const auto whole = ids(options);
  options.batch_size = 2;
  EXPECT_EQ(ids(options), whole);
  options.seed = 4;
  EXPECT_NE(ids(options), whole);
}

TEST_F(Sampling, NarrowNucleusAndTopOneAreGreedy) {
  const GenerationOptions greedy{.max_new_tokens = 8, .eos = std::vector<int32_t>()};
  for (const auto& [top_p, top_k] : {std::pair{1e-6, 0}, {1.0, 1}}) {
    GenerationOptions o = greedy;
    o.sample = true, o.top_p = top_p, o.top_k = top_k;
    const auto a = generate(*model, none, inputs, greedy), b = generate(*model, none, inputs, o);
    for (size_t i = 0; i < inputs.size(); ++i) EXPECT_EQ(a[i][0].ids, b[i][0].ids);
  }
}

TEST_F(Sampling, RefusesWhatContradictsItself) {
  const auto refused = [&](GenerationOptions o, std::vector<std::vector<int32_t>> in = {{1}}) {
    EXPECT_THROW(generate(*model, none, in, o), InputError);
  };
  refused({.max_new_tokens = 0});
  refused({.max_new_tokens = 3, .min_new_tokens = 4});
  refused({.beams = 2, .results = 3});
  refused({.beams = 2, .sample = true});
  refused({.sample = true, .temperature = 0});
  refused({.forbidden = {{100000}}});
  refused({}, {{}});
  refused({}, {{-1}});
  refused({.max_new_tokens = 100}, {{1, 2, 3}});  // the model has 64 positions
}

}  // namespace
}  // namespace cambium::testing
