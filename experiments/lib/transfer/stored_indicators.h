// Indicators of released prompts: `tpt_indicators show --from-stored DIR`.
#pragma once

#include <string>

#include "experiments/lib/table/report.h"

namespace cambium {

// A table a model (correlations.h), of what read_released finds.
Report stored_indicators(const std::string& directory);
// The command line of the above.
int stored_indicators_program(int argc, char** argv);

}  // namespace cambium
