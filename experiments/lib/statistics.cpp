// Intervals, the resampling test and its correction.
#include "experiments/lib/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "core/error.h"
#include "core/random.h"
#include "experiments/lib/metrics/classification.h"

namespace cambium {
namespace {

using metrics::StatisticsTable;

constexpr double kNormal975 = 1.959963984540054, kNormal80 = 0.8416212335729143;

// Rounding must not decide whether a sample that only reorders sums counts as equal to the observed one.
bool at_least(double value, double observed) { return std::abs(value) >= std::abs(observed) * (1 - 1e-12); }

// Draw i of a sample, below n (n < 2^32; the bias is below n / 2^32).
size_t draw(RandomKey key, int sample, size_t i, size_t n) {
  const uint32_t word = philox(key, uint32_t(i / 4), uint32_t(uint64_t(i / 4) >> 32), uint32_t(sample), 0).word[i % 4];
  return size_t(uint64_t(word) * n >> 32);
}

// How often each of n things is drawn.
std::vector<double> drawn(RandomKey key, int sample, size_t draws, size_t n) {
  std::vector<double> times(n, 0.0);
  for (size_t i = 0; i < draws; ++i) ++times[draw(key, sample, i, n)];
  return times;
}

double named_score(const StatisticsTable& table, std::span<const double> sums, std::string_view name) {
  for (const auto& [score, value] : table.scores(sums))
    if (score == name) return value;
  throw InputError(text("this metric has no score '", name, "'"));
}

double score_of(const StatisticsTable& table, const std::vector<double>& times, std::string_view score) {
  std::vector<double> sums(table.width, 0.0);
  for (size_t i = 0; i < times.size(); ++i)
    if (times[i] > 0)
      for (size_t k = 0; k < table.width; ++k) sums[k] += times[i] * table.row(i)[k];
  return named_score(table, sums, score);
}

void check_terms(std::span<const ContrastTerm> terms, int samples) {
  CHECK(!terms.empty(), "a test of nothing");
  for (const ContrastTerm& term : terms) {
    check_input(!term.seeds.empty() && term.seeds.size() == terms[0].seeds.size(), "a paired test of ",
                terms[0].seeds.size(), " seeds with ", term.seeds.size(), ": they must be the same seeds");
    const StatisticsTable& first = terms[0].seeds[0];
    for (const StatisticsTable& t : term.seeds)
      check_input(t.sentences() == first.sentences() && t.width == first.width && t.sentences() > 0,
                  "a paired test of ", first.sentences(), " texts with ", t.sentences(),
                  ": they must be the same texts");
  }
  check_input(samples > 1, "a test needs at least two samples, not ", samples);
}

// The mean over seeds.
double mean_score(std::span<const StatisticsTable> seeds, const std::vector<double>& times, std::string_view score) {
  double mean = 0;
  for (const StatisticsTable& t : seeds) mean += score_of(t, times, score) / double(seeds.size());
  return mean;
}

}  // namespace

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double place = q * double(values.size() - 1);
  const size_t below = size_t(place), above = std::min(below + 1, values.size() - 1);
  return values[below] + (place - double(below)) * (values[above] - values[below]);
}

// The finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4.
double student_within(double t, int64_t degrees) {
  CHECK(degrees >= 1, "Student's distribution with ", degrees, " degrees of freedom");
  const double angle = std::atan(t / std::sqrt(double(degrees))), cosine2 = std::pow(std::cos(angle), 2);
  const bool odd = degrees % 2 == 1;
  double sum = 0, term = odd ? std::cos(angle) : 1;
  for (int64_t k = odd ? 3 : 2; k <= degrees; k += 2) {
    sum += term;
    term *= cosine2 * double(k - 1) / double(k);
  }
  return odd ? 2 / std::numbers::pi * (angle + std::sin(angle) * sum) : std::sin(angle) * sum;
}

double student_quantile(double share, int64_t degrees) {
  CHECK(share >= 0 && share < 1, "Student's distribution: the share ", share, " is not in [0, 1)");
  double low = 0, high = 1;
  while (student_within(high, degrees) < share) high *= 2;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (student_within(middle, degrees) < share ? low : high) = middle;
  }
  return high;
}

double mean_of_finite(std::span<const double> values) {
  std::vector<double> finite;
  std::copy_if(values.begin(), values.end(), std::back_inserter(finite), [](double v) { return std::isfinite(v); });
  return finite.empty() ? kNan : spread(finite).mean;
}

Spread spread(std::span<const double> values) {
  const double n = double(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() < 2) return {mean, kNan};
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, std::sqrt(squares / (n - 1))};
}

SeedTest contrast_test(std::span<const ContrastTerm> terms, std::string_view score, int samples, uint64_t seed) {
  check_terms(terms, samples);
  const size_t K = terms[0].seeds.size(), N = terms[0].seeds[0].sentences();
  SeedTest test{.seeds = K};
  double largest = 0;
  for (const ContrastTerm& term : terms) {
    const double mean = mean_score(term.seeds, std::vector<double>(N, 1.0), score);
    test.difference += term.weight * mean, largest = std::max(largest, std::abs(mean));
  }
  const double observed = test.difference;

  const RandomKey seeds = random_key(seed, "seed test, seeds"), texts = random_key(seed, "seed test, texts");
  const size_t draws = std::max<size_t>(1, K - 1);
  std::vector<double> deviations;
  for (int s = 0; s < samples; ++s) {
    const std::vector<double> of_seeds = drawn(seeds, s, draws, K), of_texts = drawn(texts, s, N, N);
    double difference = 0;
    for (size_t k = 0; k < K; ++k) {
      if (of_seeds[k] == 0) continue;
      double of_seed = 0;
      for (const ContrastTerm& term : terms) of_seed += term.weight * score_of(term.seeds[k], of_texts, score);
      difference += of_seeds[k] * of_seed;
    }
    deviations.push_back(difference / double(draws));
  }
  const Spread s = spread(deviations);
  test.standard_error = s.deviation;
  const double t975 = K > 1 ? student_quantile(0.95, int64_t(K) - 1) : kNormal975,
               t80 = K > 1 ? student_quantile(0.6, int64_t(K) - 1) : kNormal80;
  for (double& d : deviations) d = (d - s.mean) * t975 / kNormal975;
  test.low = observed + quantile(deviations, 0.025), test.high = observed + quantile(deviations, 0.975);
  const double least = 1e-12 * largest;  // what differs from 0 by rounding alone is 0
  const auto extreme = std::count_if(deviations.begin(), deviations.end(),
                                     [&](double d) { return std::abs(observed) <= least || at_least(d, observed); });
  test.p = double(extreme + 1) / double(samples + 1);
  test.detectable = (t975 + t80) * test.standard_error;
  return test;
}

SeedTest seed_test(std::span<const StatisticsTable> a, std::span<const StatisticsTable> b, std::string_view score,
                   int samples, uint64_t seed) {
  const ContrastTerm terms[] = {{1, a}, {-1, b}};
  SeedTest test = contrast_test(terms, score, samples, seed);
  const std::vector<double> once(a[0].sentences(), 1.0);
  test.a = mean_score(a, once, score), test.b = mean_score(b, once, score);
  return test;
}

SeedTest correlation_test(std::span<const double> x, std::span<const double> y, int samples, uint64_t seed) {
  SeedTest test{.difference = metrics::spearman(x, y)};
  if (std::isnan(test.difference)) return test.low = test.high = kNan, test;
  const size_t n = x.size();
  const RandomKey things = random_key(seed, "correlation test, things"),
                  order = random_key(seed, "correlation test, order");
  std::vector<double> resampled;
  int extreme = 1;
  for (int s = 0; s < samples; ++s) {
    std::vector<double> a, b, mixed(y.begin(), y.end());
    for (size_t i = 0; i < n; ++i) {
      const size_t k = draw(things, s, i, n);
      a.push_back(x[k]), b.push_back(y[k]);
      std::swap(mixed[n - 1 - i], mixed[draw(order, s, i, n - i)]);  // Fisher and Yates
    }
    extreme += at_least(metrics::spearman(x, mixed), test.difference);
    if (const double r = metrics::spearman(a, b); !std::isnan(r)) resampled.push_back(r);
  }
  test.p = double(extreme) / double(samples + 1);
  test.low = quantile(resampled, 0.025), test.high = quantile(resampled, 0.975);
  return test;
}

double mcnemar(int64_t only_a, int64_t only_b) {
  CHECK(only_a >= 0 && only_b >= 0, "McNemar's test of ", only_a, " and ", only_b, " texts");
  const int64_t n = only_a + only_b, fewer = std::min(only_a, only_b);
  double p = 0;  // of at most `fewer` heads in n throws
  for (int64_t k = 0; k <= fewer; ++k)
    p += std::exp(std::lgamma(double(n) + 1) - std::lgamma(double(k) + 1) - std::lgamma(double(n - k) + 1) -
                  double(n) * std::numbers::ln2);
  return std::min(1.0, 2 * p);
}

std::vector<double> holm(std::span<const double> p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t(0));
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double largest = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    largest = std::max(largest, std::min(1.0, p[order[i]] * double(p.size() - i)));
    adjusted[order[i]] = largest;
  }
  return adjusted;
}

}  // namespace cambium
