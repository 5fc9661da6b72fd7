// CIDEr and ROUGE-L as in coco-caption, on words of the PTB tokeniser.
#pragma once

#include <span>

#include "experiments/lib/metrics/ngrams.h"

namespace cambium::metrics {

// What coco-caption calls CIDEr (Vedantam et al. 2015, with the clipping and the length penalty of their
// CIDEr-D): for n = 1..4 the cosine of tf-idf vectors, the output's entries clipped to the reference's, times
// exp(-(length difference)^2 / (2 6^2)), averaged over n and the references, times 10. Document frequencies
// are counted over the groups of references; lengths are numbers of bigrams, as there.
class Cider {
 public:
  explicit Cider(const std::vector<std::vector<Tokens>>& references);  // [groups][references of a group]
  double score(size_t group, const Tokens& output) const;

 private:
  static constexpr int kOrder = 4;
  // In the order of the first appearance in the text, so that sums do not depend on a hash table's order.
  struct Vector {
    std::vector<std::pair<Ngram, double>> weights;
    std::unordered_map<Ngram, size_t, NgramHash> index;
    std::array<double, kOrder> norm{};
    double length = 0;
  };
  Vector weigh(const Tokens& text) const;
  std::array<double, kOrder> similarities(const Vector& output, const Vector& reference) const;

  const std::vector<std::vector<Tokens>>& references_;
  NgramCounts document_frequency_;
  double log_documents_;
};

// coco-caption's ROUGE-L: the largest precision and the largest recall of the longest common subsequence over
// the references, together by F with beta = 1.2. An empty text counts as one empty word, as there.
double coco_rouge_l(const std::vector<Tokens>& references, const Tokens& output);

}  // namespace cambium::metrics
