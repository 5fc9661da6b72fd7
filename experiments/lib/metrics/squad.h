// Exact match and F1 of SQuAD (Rajpurkar et al. 2016), as the official script computes them.
#pragma once

#include "experiments/lib/metrics/statistics_table.h"

namespace cambium::metrics {

// Scores {"exact_match", "f1"}, 0 to 100: means over the questions of the best answer. Texts are compared in
// lower case, without ASCII punctuation and articles, by words. A question without answers (SQuAD 2.0) is
// answered rightly by nothing at all.
StatisticsTable squad_table(const References& references, const Outputs& outputs);

}  // namespace cambium::metrics
