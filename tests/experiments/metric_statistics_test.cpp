// Intervals and tests: against scipy where it has them, else against enumeration by hand.
#include "experiments/lib/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/experiments/metric_goldens.h"
#include "tests/support/files.h"

namespace cambium {
namespace {

using metrics::StatisticsTable;

TEST(MetricStatistics, StudentsDistributionIsScipys) {
  for (const auto& golden : testing::goldens()["numbers"]["students"])
    EXPECT_NEAR(student_within(golden[0], golden[1].get<int64_t>()), golden[2].get<double>(), 1e-12) << golden.dump();
}

TEST(MetricStatistics, IntervalOfTheMeanIsScipys) {
  const auto& golden = testing::goldens()["numbers"];
  const Spread s = spread(golden["values"].get<std::vector<double>>());
  EXPECT_NEAR(s.mean - s.half_width, golden["interval"][0].get<double>(), 1e-12);
  EXPECT_NEAR(s.mean + s.half_width, golden["interval"][1].get<double>(), 1e-12);
  EXPECT_NEAR(s.deviation, 0.023874672772626667, 1e-15);
  const Spread one = spread(std::vector<double>{0.5});
  EXPECT_EQ(one.mean, 0.5);
  EXPECT_TRUE(std::isnan(one.deviation) && std::isnan(one.half_width));
}

TEST(MetricStatistics, QuantilesLieBetweenTheirNeighbours) {
  EXPECT_EQ(quantile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(quantile({4, 1, 3, 2}, 0.5), 2.5);  // the median of an even count
  EXPECT_EQ(quantile({4, 1, 3, 2}, 0), 1);
  EXPECT_EQ(quantile({4, 1, 3, 2}, 1), 4);
  EXPECT_EQ(quantile({7}, 0.3), 7);
}

// A table of means: row (value, 1).
StatisticsTable means(const std::vector<double>& values) {
  StatisticsTable table{.width = 2, .scores = [](std::span<const double> sums) {
                          return metrics::Scores{{"mean", sums[0] / sums[1]}};
                        }};
  for (const double value : values) table.values.insert(table.values.end(), {value, 1.0});
  return table;
}

TEST(MetricStatistics, BootstrapSeesADifferenceAndOnlyThat) {
  std::vector<double> low, high, noise;
  for (int i = 0; i < 200; ++i) {
    low.push_back(std::sin(i));
    high.push_back(low.back() + 0.3 + 0.1 * std::cos(3 * i));
    noise.push_back(low.back() + (i % 2 ? 0.1 : -0.1));
  }
  const PairedTest clear = paired_bootstrap(means(high), means(low), "mean");
  EXPECT_NEAR(clear.a - clear.b, 0.3, 0.01);
  EXPECT_LT(clear.low, clear.a - clear.b);
  EXPECT_GT(clear.high, clear.a - clear.b);
  EXPECT_GT(clear.low, 0.25);
  EXPECT_EQ(clear.p, 1.0 / 1001);
  EXPECT_GT(paired_bootstrap(means(noise), means(low), "mean").p, 0.9);
  EXPECT_EQ(paired_bootstrap(means(low), means(low), "mean").p, 1);
}

TEST(MetricStatistics, BootstrapIntervalHasTheTextbooksWidth) {
  std::vector<double> zeros(400, 0.0), halves;
  for (int i = 0; i < 400; ++i) halves.push_back(i % 2);
  const PairedTest test = paired_bootstrap(means(halves), means(zeros), "mean", 4000);
  const double width = 2 * 1.96 * 0.5 / std::sqrt(400);
  EXPECT_NEAR(test.high - test.low, width, 0.08 * width);
}

TEST(MetricStatistics, PermutationAgreesWithEnumeration) {
  const std::vector<double> a = {0.9, 0.8, 0.7, 0.9, 0.6, 0.8}, b = {0.5, 0.6, 0.6, 0.7, 0.7, 0.4};
  std::vector<double> differences;
  for (size_t i = 0; i < a.size(); ++i) differences.push_back(a[i] - b[i]);
  const double exact = sign_permutation_p(differences);
  EXPECT_NEAR(exact, 6.0 / 64, 1e-15);  // all plus, or one of the differences of 0.1 turned, of 64; and their mirrors
  EXPECT_NEAR(paired_permutation(means(a), means(b), "mean", 20'000).p, exact, 0.01);
}

TEST(MetricStatistics, ManySignsAreDrawn) {
  std::vector<double> positive(40, 1.0);
  EXPECT_EQ(sign_permutation_p(positive, 1000), 1.0 / 1001);
  for (size_t i = 0; i < 20; ++i) positive[i] = -1;
  EXPECT_EQ(sign_permutation_p(positive, 1000), 1);
  EXPECT_EQ(sign_permutation_p(std::vector<double>{3.0}), 1);  // one difference shows nothing
}

TEST(MetricStatistics, SameSeedSameAnswer) {
  const StatisticsTable a = means({1, 2, 3, 4, 5}), b = means({1, 1, 4, 2, 6});
  const PairedTest first = paired_bootstrap(a, b, "mean", 200, 7), again = paired_bootstrap(a, b, "mean", 200, 7);
  EXPECT_EQ(first.p, again.p);
  EXPECT_EQ(first.low, again.low);
  EXPECT_NE(paired_bootstrap(a, b, "mean", 200, 8).p, first.p);
}

TEST(MetricStatistics, CorpusScoresCanBeResampled) {
  const auto& golden = testing::goldens()["e2e_hostile"];
  const testing::Texts texts(golden);
  metrics::Outputs worse = texts.outputs;
  for (std::string& text : worse) text = text.substr(0, text.size() / 2);
  const StatisticsTable a = metrics::metric_table("bleu", texts.references, texts.outputs);
  const StatisticsTable b = metrics::metric_table("bleu", texts.references, worse);
  const PairedTest test = paired_bootstrap(a, b, "bleu", 500);
  EXPECT_EQ(test.a, testing::named(a.corpus_scores(), "bleu"));
  EXPECT_GT(test.low, 0);
}

TEST(MetricStatistics, HolmStepsDown) {
  const std::vector<double> p = {0.01, 0.04, 0.03, 0.005};
  const std::vector<double> expected = {0.03, 0.06, 0.06, 0.02};
  const std::vector<double> adjusted = holm(p);
  for (size_t i = 0; i < p.size(); ++i) EXPECT_NEAR(adjusted[i], expected[i], 1e-15);
  EXPECT_EQ(holm(std::vector<double>{0.9, 0.8}), (std::vector<double>{1, 1}));
  EXPECT_TRUE(holm({}).empty());
}

TEST(MetricStatistics, CorrelationsAreTestedByPermutation) {
  const std::vector<double> x = {1, 2, 3, 4, 5}, y = {2, 4, 6, 8, 10}, z = {1, 1, 1, 1, 1};
  EXPECT_NEAR(spearman_test(x, y).p, 2.0 / 120, 1e-15);  // the order and its reverse, of 5!
  EXPECT_NEAR(pearson_test(x, y).value, 1, 1e-15);
  EXPECT_TRUE(std::isnan(pearson_test(x, z).p));
  std::vector<double> longer, other;
  for (int i = 0; i < 30; ++i) {
    longer.push_back(i);
    other.push_back(std::sin(i * 1.7));
  }
  EXPECT_EQ(spearman_test(longer, longer, 500).p, 1.0 / 501);
  EXPECT_GT(pearson_test(longer, other, 500).p, 0.05);
}

TEST(MetricStatistics, DifferentTextsAreRefused) {
  testing::expect_error<InputError>([] { paired_bootstrap(means({1, 2}), means({1}), "mean"); }, {"2 texts", "1"});
  testing::expect_error<InputError>([] { paired_bootstrap(means({1}), means({1}), "median"); }, {"median"});
  testing::expect_error<InputError>([] { paired_permutation(means({1}), means({1}), "mean", 0); }, {"sample"});
  testing::expect_error<InputError>([] { sign_permutation_p({}); }, {"no differences"});
}

}  // namespace
}  // namespace cambium
