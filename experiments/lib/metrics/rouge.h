// ROUGE-1, -2, -L and -Lsum (Lin 2004) as the rouge_score package computes them, with its stemmer.
#pragma once

#include "experiments/lib/metrics/statistics_table.h"

namespace cambium::metrics {

// Scores {"rouge1", "rouge2", "rougeL", "rougeLsum"}: means over the texts of F (beta = 1), 0 to 1; of several
// references the one with the best F counts, for each score on its own. Lsum takes lines as sentences.
StatisticsTable rouge_table(const References& references, const Outputs& outputs);

}  // namespace cambium::metrics
