// The five scores of the E2E NLG challenge, as its script measure_scores.py computes them
// (Dusek, Novikova, Rieser 2020, "Evaluating the State-of-the-Art of End-to-End Natural Language Generation").
#pragma once

#include "experiments/lib/metrics/statistics_table.h"

namespace cambium::metrics {

struct E2eScores {
  double bleu = 0;  // lower-cased, 0 to 1
  double nist = 0;
  double meteor = 0;   // 0 to 1
  double rouge_l = 0;  // 0 to 1
  double cider = 0;    // 0 to 10
};

// One row a group of references. NIST's and CIDEr's weights come from all groups, so a resampled score keeps
// the weights of the whole corpus.
StatisticsTable e2e_table(const References& references, const Outputs& outputs);

// Error where one of METEOR's files is not there: asked before long work that ends in scores.
void check_meteor_data();

E2eScores e2e_scores(std::span<const double> sums);

}  // namespace cambium::metrics
