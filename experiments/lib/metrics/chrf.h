// chrF (Popovic 2015) as sacrebleu computes it with its defaults: characters, orders 1 to 6, beta = 2, cased.
#pragma once

#include "experiments/lib/metrics/statistics_table.h"

namespace cambium::metrics {

// Scores {"chrf"}, 0 to 100. White space does not count; of several references the one with the best F of its
// sentence counts; precision and recall are averaged over the orders that both texts have.
StatisticsTable chrf_table(const References& references, const Outputs& outputs);

}  // namespace cambium::metrics
