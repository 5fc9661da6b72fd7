// Translation edit rate (Snover et al. 2006) as sacrebleu computes it with its defaults, after Tercom.
#pragma once

#include "experiments/lib/metrics/ngrams.h"
#include "experiments/lib/metrics/statistics_table.h"

namespace cambium::metrics {

// Scores {"ter"}, in percent: edits (insertions, deletions, substitutions and shifts of up to ten words over up
// to fifty, found greedily) against the best reference, divided by the mean length of the references. Lower case,
// words between white space.
StatisticsTable ter_table(const References& references, const Outputs& outputs);

int ter_edits(const Tokens& output, const Tokens& reference);

}  // namespace cambium::metrics
