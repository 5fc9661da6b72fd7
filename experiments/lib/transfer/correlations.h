// The table of indicators: a row an indicator, a column a convention.
#pragma once

#include <string>
#include <vector>

#include "experiments/lib/table/report.h"
#include "experiments/lib/transfer/transfer.h"

namespace cambium {

// Spearman's correlation with zero-shot performance under each convention of TransferCorrelation. prompts[i] is that of
// transfer.tasks[i]. A last row is what knowing the types of the tasks would give, where they are known.
ReportTable correlation_table(const std::string& title, const std::vector<Tensor>& prompts, const TransferMatrix&);
// What its words mean.
std::vector<std::string> correlation_notes();

}  // namespace cambium
