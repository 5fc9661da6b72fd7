// NIST from counts.
#include "experiments/lib/metrics/nist.h"

#include <algorithm>
#include <cmath>

namespace cambium::metrics {

void NistInformation::add(const Tokens& reference) {
  counts_[Ngram()] += int64_t(reference.size());
  add_ngrams(reference, kNistOrder, counts_);
}

double NistInformation::operator()(const Ngram& ngram) const {
  const auto whole = counts_.find(ngram);
  if (whole == counts_.end()) return 0;
  return std::log2(double(counts_.at(ngram.without_last())) / double(whole->second));
}

void append_nist_row(const NistInformation& information, const std::vector<Tokens>& references, const Tokens& output,
                     std::vector<double>& row) {
  // In the order of the text, because the sums are of floating-point numbers.
  NgramCounts left = largest_counts(references, kNistOrder);
  std::array<double, kNistOrder> matched{};
  for (size_t i = 0; i < output.size(); ++i)
    for (int n = 1; n <= kNistOrder && i + size_t(n) <= output.size(); ++n) {
      const Ngram ngram(&output[i], n);
      const auto found = left.find(ngram);
      if (found == left.end() || found->second == 0) continue;
      --found->second;
      matched[size_t(n - 1)] += information(ngram);
    }
  row.insert(row.end(), matched.begin(), matched.end());
  for (int n = 0; n < kNistOrder; ++n) row.push_back(std::max(0.0, double(output.size()) - n));
  double words = 0;
  for (const Tokens& reference : references) words += double(reference.size());
  const auto count = std::count_if(references.begin(), references.end(), [](const Tokens& r) { return !r.empty(); });
  row.insert(row.end(), {words, double(count), 1});
}

double nist_score(std::span<const double> sums) {
  double score = 0;
  for (size_t n = 0; n < kNistOrder; ++n)
    if (sums[kNistOrder + n] != 0) score += sums[n] / sums[kNistOrder + n];
  const double reference_words = sums[2 * kNistOrder], count = sums[2 * kNistOrder + 1];
  const double segments = sums[2 * kNistOrder + 2];
  const double ratio = sums[kNistOrder] / (segments * reference_words / count);
  if (!(ratio > 0)) return 0;
  static const double beta = -std::log(0.5) / (std::log(1.5) * std::log(1.5));
  const double log_ratio = std::log(std::min(ratio, 1.0));
  return score * std::exp(-beta * log_ratio * log_ratio);
}

}  // namespace cambium::metrics
