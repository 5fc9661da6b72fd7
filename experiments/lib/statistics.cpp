// Intervals, resampling tests and their correction.
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

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Rounding must not decide whether a permutation that only reorders sums counts as equal to the observed one.
bool at_least(double value, double observed) { return std::abs(value) >= std::abs(observed) * (1 - 1e-12); }

// Word i of a stream.
uint32_t random_word(RandomKey key, uint32_t sample, size_t i) {
  return philox(key, uint32_t(i / 4), uint32_t(uint64_t(i / 4) >> 32), sample, 0).word[i % 4];
}

// A number below n (n < 2^32; the bias is below n / 2^32).
size_t random_below(uint32_t word, size_t n) { return size_t(uint64_t(word) * n >> 32); }

double named_score(const StatisticsTable& table, std::span<const double> sums, std::string_view name) {
  for (const auto& [score, value] : table.scores(sums))
    if (score == name) return value;
  throw InputError(text("this metric has no score '", name, "'"));
}

void check_pair(const StatisticsTable& a, const StatisticsTable& b, int samples) {
  check_input(a.sentences() == b.sentences() && a.width == b.width && a.sentences() > 0, "a paired test of ",
              a.sentences(), " texts with ", b.sentences(), ": they must be the same texts");
  check_input(samples > 0, "a test needs at least one sample, not ", samples);
}

void add_row(std::span<const double> row, std::vector<double>& sums) {
  for (size_t k = 0; k < row.size(); ++k) sums[k] += row[k];
}

double p_value(std::span<const double> differences, double observed) {
  const auto extreme =
      std::count_if(differences.begin(), differences.end(), [&](double d) { return at_least(d, observed); });
  return double(extreme + 1) / double(differences.size() + 1);
}

template <class Correlation>
CorrelationTest correlation_test(std::span<const double> x, std::span<const double> y, int samples, uint64_t seed,
                                 Correlation&& correlation) {
  const double observed = correlation(x, y);
  if (std::isnan(observed)) return {observed, kNan};
  std::vector<double> shuffled(y.begin(), y.end());
  int64_t extreme = 0, total = 0;
  if (y.size() <= 8) {
    std::vector<size_t> order(y.size());
    std::iota(order.begin(), order.end(), size_t(0));
    do {
      for (size_t i = 0; i < order.size(); ++i) shuffled[i] = y[order[i]];
      extreme += at_least(correlation(x, shuffled), observed);
      ++total;
    } while (std::next_permutation(order.begin(), order.end()));
    return {observed, double(extreme) / double(total)};
  }
  const RandomKey key = random_key(seed, "correlation test");
  for (; total < samples; ++total) {
    std::copy(y.begin(), y.end(), shuffled.begin());
    for (size_t i = shuffled.size() - 1; i > 0; --i)
      std::swap(shuffled[i], shuffled[random_below(random_word(key, uint32_t(total), i), i + 1)]);
    extreme += at_least(correlation(x, shuffled), observed);
  }
  return {observed, double(extreme + 1) / double(total + 1)};
}

// t with P(|T| <= t) = share.
double student_quantile(double share, int64_t degrees) {
  double low = 0, high = 1;
  while (student_within(high, degrees) < share) high *= 2;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (student_within(middle, degrees) < share ? low : high) = middle;
  }
  return high;
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

Spread spread(std::span<const double> values) {
  const double n = double(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() < 2) return {mean, kNan, kNan};
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const double deviation = std::sqrt(squares / (n - 1));
  return {mean, deviation, student_quantile(0.95, int64_t(values.size()) - 1) * deviation / std::sqrt(n)};
}

PairedTest paired_bootstrap(const StatisticsTable& a, const StatisticsTable& b, std::string_view score, int samples,
                            uint64_t seed) {
  check_pair(a, b, samples);
  const double score_a = named_score(a, a.sums(), score), score_b = named_score(b, b.sums(), score);
  const RandomKey key = random_key(seed, "paired bootstrap");
  const size_t n = a.sentences();
  std::vector<double> differences;
  for (int s = 0; s < samples; ++s) {
    std::vector<double> sums_a(a.width, 0.0), sums_b(b.width, 0.0);
    for (size_t i = 0; i < n; ++i) {
      const size_t drawn = random_below(random_word(key, uint32_t(s), i), n);
      add_row(a.row(drawn), sums_a);
      add_row(b.row(drawn), sums_b);
    }
    differences.push_back(named_score(a, sums_a, score) - named_score(b, sums_b, score));
  }
  const double low = quantile(differences, 0.025), high = quantile(differences, 0.975);
  const double mean = std::accumulate(differences.begin(), differences.end(), 0.0) / samples;
  for (double& difference : differences) difference -= mean;
  return {score_a, score_b, low, high, p_value(differences, score_a - score_b)};
}

PairedTest paired_permutation(const StatisticsTable& a, const StatisticsTable& b, std::string_view score, int samples,
                              uint64_t seed) {
  check_pair(a, b, samples);
  const double score_a = named_score(a, a.sums(), score), score_b = named_score(b, b.sums(), score);
  const RandomKey key = random_key(seed, "paired permutation");
  std::vector<double> differences;
  for (int s = 0; s < samples; ++s) {
    std::vector<double> sums_a(a.width, 0.0), sums_b(b.width, 0.0);
    for (size_t i = 0; i < a.sentences(); ++i) {
      const bool exchange = random_word(key, uint32_t(s), i / 32) >> (i % 32) & 1;
      add_row(exchange ? b.row(i) : a.row(i), sums_a);
      add_row(exchange ? a.row(i) : b.row(i), sums_b);
    }
    differences.push_back(named_score(a, sums_a, score) - named_score(b, sums_b, score));
  }
  return {score_a, score_b, kNan, kNan, p_value(differences, score_a - score_b)};
}

double sign_permutation_p(std::span<const double> differences, int samples, uint64_t seed) {
  check_input(!differences.empty(), "a test of no differences");
  const size_t n = differences.size();
  const auto sum_with = [&](auto&& negative) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += negative(i) ? -differences[i] : differences[i];
    return sum;
  };
  const double observed = sum_with([](size_t) { return false; });
  int64_t extreme = 0;
  if (n <= 16) {
    const uint32_t all = uint32_t(1) << n;
    for (uint32_t signs = 0; signs < all; ++signs)
      extreme += at_least(sum_with([&](size_t i) { return signs >> i & 1; }), observed);
    return double(extreme) / all;
  }
  const RandomKey key = random_key(seed, "sign permutation");
  for (int s = 0; s < samples; ++s)
    extreme +=
        at_least(sum_with([&](size_t i) { return random_word(key, uint32_t(s), i / 32) >> (i % 32) & 1; }), observed);
  return double(extreme + 1) / double(samples + 1);
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

CorrelationTest pearson_test(std::span<const double> x, std::span<const double> y, int samples, uint64_t seed) {
  return correlation_test(x, y, samples, seed, metrics::pearson);
}

CorrelationTest spearman_test(std::span<const double> x, std::span<const double> y, int samples, uint64_t seed) {
  return correlation_test(x, y, samples, seed, metrics::spearman);
}

}  // namespace cambium
