// What tables of results need beside a number: its spread over seeds, and whether two numbers differ.
// All random draws come from Philox: the same seed gives the same answer everywhere.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "experiments/lib/metrics/statistics_table.h"

namespace cambium {

// Of the results of several seeds. With one value the last two are NaN.
struct Spread {
  double mean;
  double deviation;   // of the sample: divided by n - 1
  double half_width;  // of the 95 % confidence interval of the mean, by Student's t
};
Spread spread(std::span<const double> values);

// By linear interpolation between order statistics; q = 0.5: the median.
double quantile(std::vector<double> values, double q);

// P(|T| <= t) of Student's distribution with a whole number of degrees of freedom.
double student_within(double t, int64_t degrees);

// Two systems' scores of the same texts.
struct PairedTest {
  double a, b;       // the scores
  double low, high;  // 95 % interval of a - b (bootstrap only)
  double p;          // two-sided
};

// Resamples the texts with replacement (Koehn 2004). p is the share of samples whose difference, less the mean of
// all samples, is at least as large as the observed one; the observed counts as one more sample.
// `score` chooses one of the table's scores by its name.
PairedTest paired_bootstrap(const metrics::StatisticsTable& a, const metrics::StatisticsTable& b,
                            std::string_view score, int samples = 1000, uint64_t seed = 0);

// Exchanges the two systems' texts at random (approximate randomization).
PairedTest paired_permutation(const metrics::StatisticsTable& a, const metrics::StatisticsTable& b,
                              std::string_view score, int samples = 1000, uint64_t seed = 0);

// p, two-sided, of a mean of paired differences (of seeds, say): all 2^n signs up to n = 16, else `samples` draws.
double sign_permutation_p(std::span<const double> differences, int samples = 100'000, uint64_t seed = 0);

// Holm (1979): p-values of a family of tests, adjusted so that the family errs with the stated probability.
std::vector<double> holm(std::span<const double> p);

// A correlation and its two-sided p under permutations of y: all n! up to n = 8, else `samples` draws.
struct CorrelationTest {
  double value, p;
};
CorrelationTest pearson_test(std::span<const double> x, std::span<const double> y, int samples = 10'000,
                             uint64_t seed = 0);
CorrelationTest spearman_test(std::span<const double> x, std::span<const double> y, int samples = 10'000,
                              uint64_t seed = 0);

}  // namespace cambium
