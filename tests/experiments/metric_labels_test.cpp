// Scores of labels, numbers and answers against scikit-learn, scipy and the definition of SQuAD's script.
#include <gtest/gtest.h>

#include <cmath>

#include "experiments/lib/metrics/classification.h"
#include "tests/experiments/metric_goldens.h"
#include "tests/support/files.h"

namespace cambium::metrics {
namespace {

using testing::expect_error;
using testing::goldens;
using testing::named;

TEST(MetricLabels, AreScikitLearns) {
  for (const auto& golden : goldens()["labels"]) {
    References references;
    for (const auto& label : golden["references"]) references.push_back({label.get<std::string>()});
    const auto outputs = golden["outputs"].get<Outputs>();
    for (const char* metric : {"accuracy", "f1", "matthews"})
      for (const auto& [name, value] : score(metric, references, outputs))
        EXPECT_NEAR(value, golden[name].get<double>(), 1e-12) << name << " of " << golden["outputs"].dump();
  }
}

TEST(MetricLabels, AnyReferenceMakesAnOutputRight) {
  EXPECT_EQ(named(score("accuracy", {{"a", "b"}, {"a"}}, {"b", "b"}), "accuracy"), 0.5);
}

TEST(MetricLabels, FreeTextIsRefused) {
  References references;
  Outputs outputs;
  for (int i = 0; i < 300; ++i) {
    references.push_back({"text " + std::to_string(i)});
    outputs.push_back("x");
  }
  expect_error<InputError>([&] { score("f1", references, outputs); }, {"f1", "256", "labels"});
  EXPECT_EQ(named(score("accuracy", references, outputs), "accuracy"), 0);
  expect_error<InputError>([&] { score("matthews", {{"a", "b"}}, {"a"}); }, {"matthews", "item 1", "2 references"});
}

TEST(MetricLabels, CorrelationsAreScipys) {
  for (const auto& golden : goldens()["numbers"]["correlations"]) {
    const auto x = golden["x"].get<std::vector<double>>(), y = golden["y"].get<std::vector<double>>();
    EXPECT_NEAR(pearson(x, y), golden["pearson"].get<double>(), 1e-12);
    EXPECT_NEAR(spearman(x, y), golden["spearman"].get<double>(), 1e-12);
  }
  const std::vector<double> constant = {2, 2, 2}, rising = {1, 2, 3};
  EXPECT_TRUE(std::isnan(pearson(constant, rising)));
  EXPECT_TRUE(std::isnan(spearman(rising, constant)));
  EXPECT_THROW(pearson(rising, std::vector<double>{1}), Error);
}

TEST(MetricLabels, CorrelationsOfOutputsAreScipys) {
  for (const auto& golden : goldens()["numbers"]["correlations"]) {
    Outputs outputs;
    References references;
    const auto digits = [](double value) { return nlohmann::json(value).dump(); };
    for (const double x : golden["x"].get<std::vector<double>>()) outputs.push_back(digits(x));
    for (const double y : golden["y"].get<std::vector<double>>()) references.push_back({digits(y)});
    for (const char* metric : {"pearson", "spearman"})
      EXPECT_NEAR(named(score(metric, references, outputs), metric), golden[metric].get<double>(), 1e-9);
  }
  // T5's evaluation takes what is no number for -1.
  EXPECT_NEAR(named(score("pearson", {{"1"}, {"2"}, {"3"}}, {"1", "x", "3"}), "pearson"),
              pearson(std::vector<double>{1, -1, 3}, std::vector<double>{1, 2, 3}), 1e-12);
  EXPECT_TRUE(std::isnan(named(score("spearman", {{"1"}, {"2"}}, {"a", "b"}), "spearman")));
  expect_error<InputError>([] { score("pearson", {{"1"}, {"two"}}, {"1", "2"}); }, {"pearson", "item 2", "two"});
}

// Two questions of three and two answers. Over all answers: 2 right ones found of 3 said and 3 there are. Only the
// second question is right as a whole. (SuperGLUE's script: f1_score of all answers, mean of exact matches)
TEST(MetricLabels, MultiRcCountsAnswersAndQuestions) {
  const References references = {{"1", "a"}, {"0", "a"}, {"1", "a"}, {"1", "b"}, {"0", "b"}};
  const Scores scores = score("multirc", references, {"1", "1", "0", "1", "0"});
  EXPECT_NEAR(named(scores, "f1a"), 2.0 / 3, 1e-12);
  EXPECT_EQ(named(scores, "em"), 0.5);
  expect_error<InputError>([] { score("multirc", {{"1"}}, {"1"}); }, {"multirc", "a class and a question"});
  expect_error<InputError>([] { score("multirc", {{"1", "a"}}, {"yes"}); }, {"multirc", "yes"});
}

TEST(MetricLabels, AnswersAreComparedAsSquadDoes) {
  for (const auto& golden : goldens()["squad"]) {
    const References references = {golden["answers"].get<std::vector<std::string>>()};
    const Scores scores = score("squad", references, {golden["output"].get<std::string>()});
    EXPECT_NEAR(named(scores, "exact_match"), golden["exact_match"].get<double>(), 1e-9) << golden.dump();
    EXPECT_NEAR(named(scores, "f1"), golden["f1"].get<double>(), 1e-9) << golden.dump();
  }
}

TEST(MetricLabels, AQuestionWithoutAnswersWantsNone) {
  const Scores scores = score("squad", {{}, {}}, {"", "Paris"});
  EXPECT_EQ(named(scores, "exact_match"), 50);
  EXPECT_EQ(named(scores, "f1"), 50);
}

}  // namespace
}  // namespace cambium::metrics
