// Normalised answers and their common words.
#include "experiments/lib/metrics/squad.h"

#include <algorithm>

#include "core/regex.h"
#include "experiments/lib/metrics/ngrams.h"
#include "experiments/lib/metrics/text.h"

namespace cambium::metrics {
namespace {

Tokens answer_words(const std::string& answer, Vocabulary& vocabulary) {
  // Articles between Unicode word boundaries: \b of Python, where letters, digits and _ make words.
  static const Regex articles(R"((?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_]))", Regex::unicode);
  std::string text = lower(answer);
  std::erase_if(text, [](char c) { return uint8_t(c) < 0x80 && std::ispunct(c); });
  text = articles.replace_all(text, " ");
  return vocabulary.ids(split(std::string_view(text)));
}

double f1(const Tokens& output, const Tokens& answer) {
  NgramCounts left = count_ngrams(answer, 1);
  double common = 0;
  for (const int& word : output)
    if (int64_t& count = left[Ngram(&word, 1)]; count > 0) {
      --count;
      ++common;
    }
  if (common == 0) return 0;
  const double precision = common / double(output.size()), recall = common / double(answer.size());
  return 2 * precision * recall / (precision + recall);
}

}  // namespace

StatisticsTable squad_table(const References& references, const Outputs& outputs) {
  StatisticsTable table{.width = 3, .scores = [](std::span<const double> sums) {
                          return Scores{{"exact_match", 100 * sums[0] / sums[2]}, {"f1", 100 * sums[1] / sums[2]}};
                        }};
  for (size_t i = 0; i < outputs.size(); ++i) {
    Vocabulary vocabulary;
    const Tokens output = answer_words(outputs[i], vocabulary);
    const bool unanswerable = references[i].empty();
    double exact = unanswerable && output.empty(), overlap = exact;
    for (const std::string& text : references[i]) {
      const Tokens answer = answer_words(text, vocabulary);
      exact = std::max(exact, double(output == answer));
      overlap = std::max(overlap, f1(output, answer));
    }
    table.values.insert(table.values.end(), {exact, overlap, 1});
  }
  return table;
}

}  // namespace cambium::metrics
