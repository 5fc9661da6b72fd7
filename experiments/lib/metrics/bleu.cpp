// BLEU from counts; see the header for the two forms.
#include "experiments/lib/metrics/bleu.h"

#include <cmath>
#include <cstdlib>
#include <utility>

#include "experiments/lib/metrics/text.h"

namespace cambium::metrics {
namespace {

// In this order: mteval-v13a.pl, NormalizeText. All classes are ASCII, so bytes are as good as characters.
const std::vector<Substitution>& clean_up() {
  static const std::vector<Substitution> list = {
      {Regex("<skipped>"), ""}, {Regex("-\n"), ""},   {Regex("\n"), " "},   {Regex("&quot;"), "\""},
      {Regex("&amp;"), "&"},    {Regex("&lt;"), "<"}, {Regex("&gt;"), ">"},
  };
  return list;
}

const std::vector<Substitution>& separate() {
  static const std::vector<Substitution> list = {
      {Regex(R"(([{-~[-` -&(-+:-@/]))"), " $1 "},
      {Regex("([^0-9])([.,])"), "$1 $2 "},
      {Regex("([.,])([^0-9])"), " $1 $2"},
      {Regex("([0-9])(-)"), "$1 $2 "},
  };
  return list;
}

size_t closest_length(const std::vector<Tokens>& references, size_t length, bool skip_empty) {
  size_t best = references.front().size();
  const auto distance = [&](size_t n) { return n > length ? n - length : length - n; };
  for (const Tokens& reference : references) {
    const size_t n = reference.size();
    if (n == 0 && skip_empty) continue;
    if (std::pair(distance(n), n) < std::pair(distance(best), best)) best = n;
  }
  return best;
}

}  // namespace

std::vector<std::string> tokenize_13a(std::string_view text, bool lower_case) {
  std::string line(text);
  if (line.find_first_of("<-&\n") != std::string::npos)
    for (const auto& [pattern, replacement] : clean_up()) line = pattern.replace_all(line, replacement);
  line = " " + line + " ";
  for (const auto& [pattern, replacement] : separate()) line = pattern.replace_all(line, replacement);
  if (lower_case)
    for (char& c : line) c = c >= 'A' && c <= 'Z' ? char(c + 32) : c;
  const auto words = split(line);
  return {words.begin(), words.end()};
}

void append_bleu_row(const std::vector<Tokens>& references, const Tokens& output, bool mteval,
                     std::vector<double>& row) {
  const NgramCounts allowed = largest_counts(references, kBleuOrder);
  std::array<double, kBleuOrder> matches{};
  for (const auto& [ngram, count] : count_ngrams(output, kBleuOrder))
    if (const auto found = allowed.find(ngram); found != allowed.end())
      matches[size_t(ngram.order - 1)] += double(std::min(count, found->second));
  row.insert(row.end(), matches.begin(), matches.end());
  for (int n = 0; n < kBleuOrder; ++n) row.push_back(std::max(double(output.size()) - n, 0.0));
  row.push_back(double(output.size()));
  row.push_back(double(closest_length(references, output.size(), mteval)));
}

double bleu_score(std::span<const double> sums) {
  const auto matches = sums.first(kBleuOrder), totals = sums.subspan(kBleuOrder, kBleuOrder);
  const double length = sums[2 * kBleuOrder], reference_length = sums[2 * kBleuOrder + 1];
  if (matches[0] == 0) return 0;  // then no longer n-gram matches either
  double smoothing = 1, log_sum = 0;
  for (size_t n = 0; n < kBleuOrder; ++n) {
    if (totals[n] == 0) return 0;  // no output is that long
    if (matches[n] == 0) smoothing *= 2;
    log_sum += std::log(matches[n] > 0 ? 100 * matches[n] / totals[n] : 100 / (smoothing * totals[n]));
  }
  const double brevity = length < reference_length ? std::exp(1 - reference_length / length) : 1;
  return brevity * std::exp(log_sum / kBleuOrder);
}

double e2e_bleu_score(std::span<const double> sums) {
  const double length = sums[2 * kBleuOrder], reference_length = sums[2 * kBleuOrder + 1];
  if (length == 0) return 0;
  double smoothing = 1, log_sum = 0;
  for (size_t n = 0; n < kBleuOrder; ++n) {
    const double matches = sums[n], total = sums[kBleuOrder + n];
    if (total == 0) continue;
    if (matches == 0) smoothing *= 2;
    log_sum += std::log(matches > 0 ? matches / total : 1 / (smoothing * total));
  }
  return std::exp(std::min(0.0, 1 - reference_length / length)) * std::exp(log_sum / kBleuOrder);
}

StatisticsTable bleu_table(const References& references, const Outputs& outputs) {
  StatisticsTable table{.width = kBleuWidth, .scores = [](std::span<const double> sums) {
                          return Scores{{"bleu", bleu_score(sums)}};
                        }};
  for (size_t i = 0; i < outputs.size(); ++i) {
    Vocabulary vocabulary;
    std::vector<Tokens> group;
    for (const std::string& reference : references[i])
      group.push_back(vocabulary.ids(tokenize_13a(strip_right(reference), false)));
    append_bleu_row(group, vocabulary.ids(tokenize_13a(strip_right(outputs[i]), false)), false, table.values);
  }
  return table;
}

}  // namespace cambium::metrics
