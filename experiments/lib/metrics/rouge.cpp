// ROUGE's words, n-gram overlap and longest common subsequences.
#include "experiments/lib/metrics/rouge.h"

#include <algorithm>
#include <array>

#include "experiments/lib/metrics/lcs.h"
#include "experiments/lib/metrics/porter_stemmer.h"
#include "experiments/lib/metrics/text.h"

namespace cambium::metrics {
namespace {

// Runs of a-z and 0-9 of the lower-cased text; those longer than three letters stemmed.
Tokens rouge_words(std::string_view text, Vocabulary& vocabulary) {
  const std::string low = lower(text);
  Tokens tokens;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) tokens.push_back(vocabulary.id(word.size() > 3 ? porter_stem(word) : word));
    word.clear();
  };
  for (const char c : low) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) word += c;
    else finish();
  }
  finish();
  return tokens;
}

struct Summary {
  Tokens words;
  std::vector<Tokens> sentences;  // lines that are not empty
};

Summary read_summary(const std::string& text, Vocabulary& vocabulary) {
  Summary summary{rouge_words(text, vocabulary), {}};
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    if (end > start)
      summary.sentences.push_back(rouge_words(std::string_view(text).substr(start, end - start), vocabulary));
    start = end + 1;
  }
  return summary;
}

double f_measure(double common, double reference, double output) {
  if (common == 0) return 0;
  const double precision = common / output, recall = common / reference;
  return 2 * precision * recall / (precision + recall);
}

double rouge_n(const Tokens& reference, const Tokens& output, int n) {
  const auto total = [&](const Tokens& text) { return double(text.size()) - n + 1; };
  NgramCounts left = count_ngrams(reference, n);
  double common = 0;
  for (size_t i = 0; i + size_t(n) <= output.size(); ++i)
    if (const auto found = left.find(Ngram(&output[i], n)); found != left.end() && found->second > 0) {
      --found->second;
      ++common;
    }
  return f_measure(common, total(reference), total(output));
}

// Summary level: for each reference sentence the union of its common subsequences with all sentences of the
// output; a word counts at most as often as it occurs in both summaries.
double rouge_l_sum(const Summary& reference, const Summary& output) {
  NgramCounts left_reference, left_output;
  double reference_size = 0, output_size = 0, hits = 0;
  for (const Tokens& sentence : reference.sentences) {
    add_ngrams(sentence, 1, left_reference);
    reference_size += double(sentence.size());
  }
  for (const Tokens& sentence : output.sentences) {
    add_ngrams(sentence, 1, left_output);
    output_size += double(sentence.size());
  }
  for (const Tokens& sentence : reference.sentences) {
    std::vector<bool> in_union(sentence.size(), false);
    for (const Tokens& other : output.sentences)
      for (const size_t position : lcs_positions(sentence, other)) in_union[position] = true;
    for (size_t i = 0; i < sentence.size(); ++i) {
      if (!in_union[i]) continue;
      const Ngram word(&sentence[i], 1);
      int64_t &a = left_reference[word], &b = left_output[word];
      if (a <= 0 || b <= 0) continue;
      --a;
      --b;
      ++hits;
    }
  }
  return f_measure(hits, reference_size, output_size);
}

}  // namespace

StatisticsTable rouge_table(const References& references, const Outputs& outputs) {
  StatisticsTable table{.width = 5, .scores = [](std::span<const double> sums) {
                          return Scores{{"rouge1", sums[0] / sums[4]},
                                        {"rouge2", sums[1] / sums[4]},
                                        {"rougeL", sums[2] / sums[4]},
                                        {"rougeLsum", sums[3] / sums[4]}};
                        }};
  for (size_t i = 0; i < outputs.size(); ++i) {
    Vocabulary vocabulary;
    const Summary output = read_summary(outputs[i], vocabulary);
    std::array<double, 5> best{0, 0, 0, 0, 1};
    const auto keep = [&](size_t k, double f) { best[k] = std::max(best[k], f); };
    for (const std::string& text : references[i]) {
      const Summary reference = read_summary(text, vocabulary);
      keep(0, rouge_n(reference.words, output.words, 1));
      keep(1, rouge_n(reference.words, output.words, 2));
      const double common = double(lcs_length(reference.words, output.words));
      keep(2, f_measure(common, double(reference.words.size()), double(output.words.size())));
      keep(3, rouge_l_sum(reference, output));
    }
    table.values.insert(table.values.end(), best.begin(), best.end());
  }
  return table;
}

}  // namespace cambium::metrics
