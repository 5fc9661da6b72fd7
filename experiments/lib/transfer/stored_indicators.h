// The table of indicators of released prompts: `tpt_indicators show --from-stored DIR`.
#pragma once

#include <string>

#include "experiments/lib/table/report.h"

namespace cambium {

// A table a model, a row an indicator: Spearman's correlation with zero-shot performance under each convention of
// TransferCorrelation. A last row is what knowing the types of the tasks would give.
Report stored_indicators(const std::string& directory);

}  // namespace cambium
