// chrF from counts of character n-grams.
#include "experiments/lib/metrics/chrf.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include "experiments/lib/metrics/text.h"

namespace cambium::metrics {
namespace {

constexpr size_t kOrder = 6, kWidth = 3 * kOrder;  // of each order: n-grams of output, of reference, common

std::u32string characters(const std::string& text) {
  std::u32string out;
  for (const std::string_view word : split(std::string_view(text))) out += decode(word);
  return out;
}

using Counts = std::unordered_map<std::u32string_view, int64_t>;

Counts count(std::u32string_view text, size_t n) {
  Counts counts;
  for (size_t i = 0; i + n <= text.size(); ++i) ++counts[text.substr(i, n)];
  return counts;
}

double f_score(std::span<const double> counts) {
  double precision = 0, recall = 0;
  int orders = 0;
  for (size_t n = 0; n < kOrder; ++n) {
    const double output = counts[3 * n], reference = counts[3 * n + 1], common = counts[3 * n + 2];
    if (output == 0 || reference == 0) continue;
    precision += common / output;
    recall += common / reference;
    ++orders;
  }
  if (precision + recall == 0) return 0;
  precision /= orders;
  recall /= orders;
  constexpr double beta2 = 4;
  return 100 * (1 + beta2) * precision * recall / (beta2 * precision + recall);
}

}  // namespace

StatisticsTable chrf_table(const References& references, const Outputs& outputs) {
  StatisticsTable table{.width = kWidth, .scores = [](std::span<const double> sums) {
                          return Scores{{"chrf", f_score(sums)}};
                        }};
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::u32string output = characters(outputs[i]);
    std::vector<std::array<double, kWidth>> rows(references[i].size());
    std::vector<std::u32string> texts;
    for (const std::string& reference : references[i]) texts.push_back(characters(reference));
    for (size_t n = 1; n <= kOrder; ++n) {
      const Counts output_counts = count(output, n);
      for (size_t r = 0; r < texts.size(); ++r) {
        const Counts reference_counts = count(texts[r], n);
        double common = 0;
        for (const auto& [ngram, k] : reference_counts)
          if (const auto found = output_counts.find(ngram); found != output_counts.end())
            common += double(std::min(k, found->second));
        const auto total = [&](size_t size) { return size >= n ? double(size - n + 1) : 0; };
        double* row = &rows[r][3 * (n - 1)];
        row[0] = texts[r].size() >= n ? total(output.size()) : 0;  // nothing to be compared with
        row[1] = total(texts[r].size());
        row[2] = common;
      }
    }
    const auto best = std::max_element(rows.begin(), rows.end(),
                                       [](const auto& a, const auto& b) { return f_score(a) < f_score(b); });
    table.values.insert(table.values.end(), best->begin(), best->end());
  }
  return table;
}

}  // namespace cambium::metrics
