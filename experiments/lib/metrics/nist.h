// NIST (Doddington 2002) as the E2E challenge computes it: its version of mteval-v13a, which takes groups with
// different numbers of references. (Its Python port averages the references' lengths group by group instead; the
// published scores are those of the Perl script, and so are these.)
#pragma once

#include "experiments/lib/metrics/ngrams.h"
#include "experiments/lib/metrics/statistics_table.h"

namespace cambium::metrics {

inline constexpr int kNistOrder = 5;

// How much an n-gram tells, counted over all references of the corpus:
// info(w1..wn) = log2(count(w1..w(n-1)) / count(w1..wn)).
class NistInformation {
 public:
  void add(const Tokens& reference);
  double operator()(const Ngram& ngram) const;

 private:
  NgramCounts counts_;  // the empty n-gram counts the words
};

// Row: information of the matched n-grams of orders 1 to 5, numbers of n-grams of these orders, words of all
// references, references that have any, 1.
inline constexpr size_t kNistWidth = 2 * kNistOrder + 3;
void append_nist_row(const NistInformation& information, const std::vector<Tokens>& references, const Tokens& output,
                     std::vector<double>& row);

// sum over n of information / n-grams, times exp(-beta ln^2 min(1, words / expected words)), where expected are
// as many references of mean length as there are outputs, and beta makes the factor 0.5 at two thirds of them.
double nist_score(std::span<const double> sums);

}  // namespace cambium::metrics
