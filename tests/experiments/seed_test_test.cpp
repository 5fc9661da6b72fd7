// The test over seeds and texts: against NumPy (tools/golden/seed_test.py), where its answer is known, and how often it
// errs.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "core/json.h"
#include "experiments/lib/metrics/metric.h"
#include "experiments/lib/statistics.h"
#include "tests/experiments/metric_goldens.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"

namespace cambium::testing {
namespace {

using metrics::StatisticsTable;
using Seeds = std::vector<StatisticsTable>;

// Texts with rows (value, count) and the score sum(values) / sum(counts).
StatisticsTable ratios(const std::vector<double>& values, const std::vector<double>& counts) {
  StatisticsTable table{.width = 2, .scores = [](std::span<const double> sums) {
                          return metrics::Scores{{"other", 0}, {"ratio", sums[0] / sums[1]}};
                        }};
  for (size_t i = 0; i < values.size(); ++i) table.values.insert(table.values.end(), {values[i], counts[i]});
  return table;
}
StatisticsTable means(const std::vector<double>& values) {
  return ratios(values, std::vector<double>(values.size(), 1.0));
}

TEST(SeedTest, IsNumPys) {
  const nlohmann::json cases = parse_json_file(golden_path("statistics/seed_test.json"));
  ASSERT_EQ(cases.size(), 5u);
  for (const nlohmann::json& c : cases) {
    SCOPED_TRACE(c["name"]);
    Seeds systems[2];
    for (size_t system = 0; system < 2; ++system)
      for (const auto& texts : c["values"][system])
        systems[system].push_back(ratios(texts.get<std::vector<double>>(), c["counts"].get<std::vector<double>>()));
    const auto expected = [&](const char* name) { return c[name].get<double>(); };
    const SeedTest t = seed_test(systems[0], systems[1], "ratio", 20'000);
    EXPECT_EQ(t.seeds, systems[0].size());
    EXPECT_NEAR(t.a, expected("a"), 1e-12);
    EXPECT_NEAR(t.b, expected("b"), 1e-12);
    // Four standard errors of 20,000 draws: 2 % of a deviation, 8 % of it where a distribution has few draws (its
    // ends), and those of a share.
    const double s = expected("standard_error"), ends = 0.04 * (expected("high") - expected("low"));
    EXPECT_NEAR(t.standard_error, s, 0.02 * s);
    EXPECT_NEAR(t.detectable, expected("detectable"), 0.02 * expected("detectable"));
    EXPECT_NEAR(t.low, expected("low"), ends);
    EXPECT_NEAR(t.high, expected("high"), ends);
    const double p = expected("p");
    EXPECT_NEAR(t.p, p, 4 * std::sqrt(p * (1 - p) / 20'000));
  }
}

TEST(SeedTest, EqualOutputsAndConstantDifferences) {
  const std::vector<double> texts = {0.1, 0.7, 0.3, 0.9, 0.5};
  std::vector<double> above = texts;
  for (double& x : above) x += 0.25;
  for (const size_t seeds : {1, 2, 5}) {
    const Seeds low(seeds, means(texts)), high(seeds, means(above));
    const SeedTest equal = seed_test(low, low, "ratio"), apart = seed_test(high, low, "ratio", 999);
    EXPECT_EQ(equal.p, 1);
    EXPECT_EQ(equal.low, 0);
    EXPECT_EQ(equal.high, 0);
    EXPECT_EQ(equal.detectable, 0);
    EXPECT_NEAR(apart.low, 0.25, 1e-12);
    EXPECT_NEAR(apart.high, 0.25, 1e-12);
    EXPECT_EQ(apart.p, 0.001);  // of 999 samples none reaches it; the observed one counts
    EXPECT_EQ(seed_test(low, high, "ratio", 999).p, 0.001);
  }
}

// Alike on every text of a seed, but from seed to seed: what one seed cannot show.
TEST(SeedTest, SpreadOverSeedsWidensTheInterval) {
  const std::vector<double> texts = {0.1, 0.7, 0.3, 0.9, 0.5};
  Seeds base, moved;
  for (const double shift : {0.3, -0.2, 0.25, -0.15, 0.2}) {
    std::vector<double> of_seed = texts;
    for (double& x : of_seed) x += shift;
    base.push_back(means(texts)), moved.push_back(means(of_seed));
  }
  const SeedTest one = seed_test(std::span(moved).first(1), std::span(base).first(1), "ratio");
  EXPECT_GT(one.low, 0.29);  // texts alone: sure of it
  const SeedTest five = seed_test(moved, base, "ratio", 20'000);
  EXPECT_LT(five.low, 0);
  EXPECT_GT(five.p, 0.3);
  // The textbook's standard error of a mean of five: deviation / sqrt(5), and an interval of 2.776 of them.
  const double error = spread(std::vector<double>{0.3, -0.2, 0.25, -0.15, 0.2}).deviation / std::sqrt(5.0);
  EXPECT_NEAR(five.standard_error, error, 0.02 * error);
  EXPECT_NEAR(five.detectable, (2.7764451 + 0.9409646) * error, 0.1 * error);
  EXPECT_NEAR((five.high - five.low) / 2, 2.776 * error, 0.15 * error);
}

TEST(SeedTest, IntervalOverTextsHasTheTextbooksWidth) {
  std::vector<double> zeros(400, 0.0), halves;
  for (int i = 0; i < 400; ++i) halves.push_back(i % 2);
  const SeedTest test = seed_test(Seeds{means(halves)}, Seeds{means(zeros)}, "ratio", 4000);
  const double width = 2 * 1.96 * 0.5 / std::sqrt(400);
  EXPECT_NEAR(test.high - test.low, width, 0.08 * width);
  EXPECT_NEAR(test.detectable, 2.8016 * 0.5 / std::sqrt(400), 0.002);
}

// Five seeds of systems that are alike in truth: about one test of twenty may say otherwise. Without the factor from
// the normal to Student's distribution it would be one of eight.
TEST(SeedTest, ErrsAsOftenAsItSays) {
  std::mt19937_64 random(3);
  const auto normal = [&] {  // the standard library's distributions differ between libraries
    const double u = (double(random() >> 11) + 0.5) / 9007199254740992.0,
                 v = double(random() >> 11) / 9007199254740992.0;
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * M_PI * v);
  };
  constexpr int kTrials = 600;
  int apart = 0, outside = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    Seeds a, b;
    for (int k = 0; k < 5; ++k)
      for (Seeds* system : {&a, &b}) {
        const double of_seed = normal();
        std::vector<double> texts;
        for (int i = 0; i < 12; ++i) texts.push_back(of_seed + 0.3 * normal());
        system->push_back(means(texts));
      }
    const SeedTest t = seed_test(a, b, "ratio", 400, uint64_t(trial));
    apart += t.p<0.05, outside += t.low> 0 || t.high < 0;
  }
  for (const int errors : {apart, outside}) {
    EXPECT_GT(errors, kTrials * 0.02);
    EXPECT_LT(errors, kTrials * 0.075);
  }
}

TEST(SeedTest, SameSeedSameAnswer) {
  const Seeds a = {means({1, 2, 3, 4, 5}), means({2, 2, 3, 5, 5})},
              b = {means({1, 1, 4, 2, 6}), means({2, 1, 4, 2, 5})};
  const SeedTest first = seed_test(a, b, "ratio", 200, 7), again = seed_test(a, b, "ratio", 200, 7);
  EXPECT_EQ(first.p, again.p);
  EXPECT_EQ(first.low, again.low);
  EXPECT_EQ(first.detectable, again.detectable);
  EXPECT_NE(seed_test(a, b, "ratio", 200, 8).standard_error, first.standard_error);
  // Who comes first does not matter, and neither does the order of calls.
  const SeedTest mirrored = seed_test(b, a, "ratio", 200, 7);
  EXPECT_EQ(mirrored.p, first.p);
  EXPECT_NEAR(mirrored.low, -first.high, 1e-12);
}

TEST(SeedTest, CorpusScoresCanBeResampled) {
  const auto& golden = goldens()["e2e_hostile"];
  const Texts texts(golden);
  metrics::Outputs worse = texts.outputs;
  for (std::string& text : worse) text = text.substr(0, text.size() / 2);
  const StatisticsTable a = metrics::metric_table("bleu", texts.references, texts.outputs);
  const StatisticsTable b = metrics::metric_table("bleu", texts.references, worse);
  const SeedTest test = seed_test(Seeds{a, a}, Seeds{b, b}, "bleu", 500);
  EXPECT_NEAR(test.a, named(a.corpus_scores(), "bleu"), 1e-12);
  EXPECT_GT(test.a - test.b, 0);
  EXPECT_LT(test.low, test.a - test.b);
}

TEST(SeedTest, WhatDoesNotFitIsRefused) {
  const auto refused = [](const Seeds& a, const Seeds& b, std::initializer_list<std::string_view> parts) {
    expect_error<InputError>([&] { seed_test(a, b, "ratio"); }, parts);
  };
  const StatisticsTable one = means({1}), two = means({1, 2});
  refused({two}, {one}, {"2 texts", "1"});
  refused({two, two}, {two}, {"2 seeds", "1"});
  refused({two, two}, {two, one}, {"2 texts", "1"});
  refused({}, {}, {"0 seeds"});
  expect_error<InputError>([&] { seed_test(Seeds{one}, Seeds{one}, "median"); }, {"median"});
  expect_error<InputError>([&] { seed_test(Seeds{one}, Seeds{one}, "ratio", 0); }, {"samples"});
}

// A contrast of two systems is their difference; of four, that of two differences.
TEST(Contrast, IsASumOfSystems) {
  const Seeds a = {means({0.1, 0.5, 0.9}), means({0.2, 0.4, 0.9})}, b = {means({0, 0.5, 0.7}), means({0.1, 0.1, 0.8})};
  const SeedTest test = seed_test(a, b, "ratio");
  const ContrastTerm two[] = {{1, a}, {-1, b}}, none[] = {{1, a}, {-1, b}, {-1, a}, {1, b}},
                     half[] = {{0.5, a}, {-0.5, b}};
  const SeedTest same = contrast_test(two, "ratio"), zero = contrast_test(none, "ratio"),
                 less = contrast_test(half, "ratio");
  EXPECT_EQ(same.difference, test.difference);
  EXPECT_EQ(test.difference, test.a - test.b);
  EXPECT_EQ(same.low, test.low);
  EXPECT_EQ(same.p, test.p);
  EXPECT_NEAR(zero.difference, 0, 1e-15);
  EXPECT_EQ(zero.p, 1);
  EXPECT_NEAR(less.difference, test.difference / 2, 1e-15);
  EXPECT_NEAR(less.standard_error, test.standard_error / 2, 1e-12);
  const Seeds one = {means({0.1, 0.5, 0.9})};
  const ContrastTerm uneven[] = {{1, a}, {-1, one}};
  expect_error<InputError>([&] { contrast_test(uneven, "ratio"); }, {"2 seeds with 1"});
}

// scipy.stats.spearmanr, permutation_test (pairings, 50,000) and percentiles of 20,000 resamplings
TEST(CorrelationTest, IsSciPys) {
  const std::vector<double> x = {1, 2, 3, 4, 5, 6, 7, 8}, y = {2, 1, 4, 3, 7, 8, 6, 5}, flat(8, 1.0);
  const SeedTest t = correlation_test(x, y, 20'000);
  EXPECT_NEAR(t.difference, 0.7380952380952381, 1e-12);
  EXPECT_NEAR(t.p, 0.0458, 0.004);
  EXPECT_NEAR(t.low, -0.1111, 0.03);
  EXPECT_NEAR(t.high, 0.9730, 0.03);
  EXPECT_EQ(correlation_test(x, flat).p, 1);
  EXPECT_EQ(correlation_test(x, x, 200).p, 1. / 201) << "no other order is as good";
}

// scipy.stats.binomtest
TEST(McNemar, IsSciPys) {
  EXPECT_NEAR(mcnemar(8, 0), 0.0078125, 1e-12);
  EXPECT_NEAR(mcnemar(0, 8), 0.0078125, 1e-12);
  EXPECT_NEAR(mcnemar(3, 10), 0.09228515625, 1e-12);
  EXPECT_EQ(mcnemar(5, 5), 1);
  EXPECT_EQ(mcnemar(0, 1), 1);
  EXPECT_EQ(mcnemar(0, 0), 1);
  EXPECT_NEAR(mcnemar(120, 90), 0.045114087864840696, 1e-9);
}

}  // namespace
}  // namespace cambium::testing
