// What tables of results need beside a number: its spread over seeds, and whether two numbers differ.
// All random draws come from Philox: the same seed gives the same answer everywhere.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "experiments/lib/metrics/statistics_table.h"

namespace cambium {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();  // there is no such value

// Of the results of several seeds. With one value the deviation is NaN.
struct Spread {
  double mean;
  double deviation;  // of the sample: divided by n - 1
};
Spread spread(std::span<const double> values);
// NaN where none is finite.
double mean_of_finite(std::span<const double> values);

// By linear interpolation between order statistics; q = 0.5: the median.
double quantile(std::vector<double> values, double q);

// P(|T| <= t) of Student's distribution with a whole number of degrees of freedom, and t for a share of it.
double student_within(double t, int64_t degrees);
double student_quantile(double share, int64_t degrees);


// Two systems that were trained with the same K seeds and scored on the same N texts; scores are means over seeds.
struct SeedTest {
  double a = 0, b = 0;        // the scores
  double difference = 0;      // a - b
  double low = 0, high = 0;   // 95 % interval of a - b
  double p = 1;               // two-sided
  double standard_error = 0;  // of a - b
  double detectable = 0;      // the difference that would be found (two-sided, 0.05) with a probability of 80 %
  size_t seeds = 0;           // 1: all of it is over the texts of this seed alone
};

// One resampling over seeds and texts (a bootstrap of two crossed factors: Owen 2007, "The pigeonhole bootstrap").
// A sample draws K - 1 of the K seeds with replacement (K draws would give only (K - 1) / K of their variance: Rao and
// Wu 1988), then N of the N texts, the same for each drawn seed and both systems. With d* its difference, m the mean
// of all d*, s their standard deviation, and c = t / z the factor from the normal to Student's distribution (0.975
// quantiles, K - 1 degrees of freedom), because s comes from few seeds:
//   interval    (a - b) + c (d* - m) at 2.5 % and 97.5 %
//   p           share of samples with c |d* - m| >= |a - b|; the observed difference counts as one more sample
//   detectable  (t at 0.975 + t at 0.8) s
// One seed: only texts are drawn, with normal quantiles. a[k] and b[k] are those of seed k; `score` chooses one of the
// tables' scores by its name. Throws InputError where the texts or the numbers of seeds differ.
SeedTest seed_test(std::span<const metrics::StatisticsTable> a, std::span<const metrics::StatisticsTable> b,
                   std::string_view score, int samples = 2000, uint64_t seed = 0);

// The same of a weighted sum of several systems' scores, which takes the place of a - b (a and b stay 0).
struct ContrastTerm {
  double weight;
  std::span<const metrics::StatisticsTable> seeds;
};
SeedTest contrast_test(std::span<const ContrastTerm>, std::string_view score, int samples = 2000, uint64_t seed = 0);

// Spearman's correlation over n things: as `difference`, its interval by drawing things (percentiles), p by permuting
// one side. NaN correlation: p is 1. seeds stays 0.
SeedTest correlation_test(std::span<const double> x, std::span<const double> y, int samples = 2000, uint64_t seed = 0);

// McNemar's test, exact (binomial): of the texts that just one of two systems answers rightly, is it either one as
// often? Two-sided p; 1 where there is no such text.
double mcnemar(int64_t only_a, int64_t only_b);

// Holm (1979): p-values of a family of tests, adjusted so that the family errs with the stated probability.
std::vector<double> holm(std::span<const double> p);

}  // namespace cambium
