// Indicators of prompts that a study trained: their correlation with the transfer that it measured.
#pragma once

#include "experiments/lib/table/study.h"

namespace cambium {

// For a study of prompts with the axes `task` and `source` (bases.h); of the first seed, where all its cells are
// finished.
void add_trained_indicators(const StudyResults&, Report&);

}  // namespace cambium
