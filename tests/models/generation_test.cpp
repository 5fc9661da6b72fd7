// Generation against transformers' generate on small random models; results do not depend on the batch.
#include "models/generation.h"

#include <map>
#include <set>

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

// The probabilities that a token is drawn with, by plain loops: softmax(logits / temperature) over the top_k largest,
// then over the fewest of these that reach top_p together.
std::vector<double> probabilities(const Array& logits, const GenerationOptions& o) {
  std::vector<size_t> order(size_t(logits.size()));
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return logits.values[a] > logits.values[b]; });
  if (o.top_k) order.resize(size_t(o.top_k));
  const auto weight = [&](size_t i) { return std::exp((logits.values[i] - logits.values[order[0]]) / o.temperature); };
  double all = 0, kept = 0;
  for (const size_t i : order) all += weight(i);
  size_t count = 0;
  while (count < order.size() && (o.top_p == 1 || kept < o.top_p * all)) kept += weight(order[count++]);
  std::vector<double> p(size_t(logits.size()));
  for (size_t k = 0; k < count; ++k) p[order[k]] = weight(order[k]) / kept;
  return p;
}

// Pearson's statistic over the tokens that are expected five times or more, the others together: its mean is the number
// of cells less one, its variance twice that. Seeds are fixed, so this passes always or never.
void expect_distribution(const std::map<int32_t, int64_t>& count, const std::vector<double>& p,
                         const std::string& what) {
  int64_t all = 0, others = 0, cells = 0;
  for (const auto& [token, n] : count) all += n;
  double statistic = 0, rare = 0;
  for (size_t t = 0; t < p.size(); ++t) {
    const double expected = p[t] * double(all);
    const int64_t seen = count.count(int32_t(t)) ? count.at(int32_t(t)) : 0;
    if (p[t] == 0) {
      EXPECT_EQ(seen, 0) << what << ": token " << t << " is not to be drawn";
    }
    if (expected >= 5) statistic += (double(seen) - expected) * (double(seen) - expected) / expected, ++cells;
    else rare += expected, others += seen;
  }
  if (rare > 0.5) statistic += (double(others) - rare) * (double(others) - rare) / rare, ++cells;
  EXPECT_GE(cells, 2) << what;
  EXPECT_LT(statistic, double(cells - 1) + 4.5 * std::sqrt(2 * double(cells - 1))) << what;
}

TEST_F(Sampling, FollowsItsDistribution) {
  const auto logits_behind = [&](const std::vector<int32_t>& ids) {
    Pass pass(none);
    const Batch batch{{.ids = ids}};
    return to_array(model->logits(pass, model->hidden(pass, batch, {{0, int32_t(ids.size()) - 1}}).value));
  };
  const std::vector<int32_t> input = {1, 5, 9};
  for (GenerationOptions o : {GenerationOptions{},
                              {.temperature = 0.6},
                              {.temperature = 1.7, .top_k = 12},
                              {.top_p = 0.8},
                              {.temperature = 1.3, .top_p = 0.9, .top_k = 20}}) {
    o.max_new_tokens = 2, o.eos = std::vector<int32_t>(), o.sample = true, o.seed = 11, o.results = 6000;
    const std::string what = text("temperature ", o.temperature, ", top-p ", o.top_p, ", top-k ", o.top_k);
    std::map<int32_t, int64_t> first;
    std::map<int32_t, std::map<int32_t, int64_t>> second;  // by the first
    const auto results = generate(*model, none, {input}, o);
    for (const Generated& g : results[0]) ++first[g.ids[0]], ++second[g.ids[0]][g.ids[1]];
    expect_distribution(first, probabilities(logits_behind(input), o), what);
    const auto common =
        std::max_element(first.begin(), first.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    std::vector<int32_t> longer = input;
    longer.push_back(common->first);
    expect_distribution(second[common->first], probabilities(logits_behind(longer), o), what + ", second token");
  }
}

// Inputs whose results are one each, on every kind of decoder.
TEST_F(Sampling, SeveralResultsAreEachTheirOwn) {
  for (const char* name : {"llama_gqa", "gpt2", "t5", "bart"}) {
    const auto decoder = load_model(*ModelSource::open(golden_path(std::string("models/") + name)), DType::f32);
    GenerationOptions o{.max_new_tokens = 6, .sample = true, .temperature = 1.5, .seed = 3, .scores = true};
    const auto one = generate(*decoder, none, inputs, o);
    o.results = 5;
    const auto five = generate(*decoder, none, inputs, o);
    o.batch_size = 1;
    const auto alone = generate(*decoder, none, inputs, o);
    for (size_t i = 0; i < inputs.size(); ++i) {
      ASSERT_EQ(five[i].size(), 5u);
      EXPECT_EQ(five[i][0].ids, one[i][0].ids) << name;
      std::set<std::vector<int32_t>> kinds;
      for (size_t r = 0; r < 5; ++r) {
        EXPECT_EQ(alone[i][r].ids, five[i][r].ids) << name << " in another batch";
        EXPECT_EQ(alone[i][r].score, five[i][r].score) << name << " in another batch";
        EXPECT_FALSE(five[i][r].ids.empty());
        kinds.insert(five[i][r].ids);
      }
      EXPECT_GT(kinds.size(), 1u) << name;
    }
  }
}

TEST_F(Sampling, RefusesWhatContradictsItself) {
  const auto refused = [&](GenerationOptions o, std::vector<std::vector<int32_t>> in = {{1}}) {
    EXPECT_THROW(generate(*model, none, in, o), InputError);
  };
  refused({.max_new_tokens = 0});
  refused({.max_new_tokens = 3, .min_new_tokens = 4});
  refused({.beams = 2, .results = 3});
  refused({.results = 2});
  refused({.results = 0, .sample = true});
  refused({.beams = 2, .sample = true});
  refused({.sample = true, .temperature = 0});
  refused({.forbidden = {{100000}}});
  refused({}, {{}});
  refused({}, {{-1}});
  refused({.max_new_tokens = 100}, {{1, 2, 3}});  // the model has 64 positions
}

}  // namespace
}  // namespace cambium::testing
