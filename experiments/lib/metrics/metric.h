// Every metric by name, and the files that `cambium score` reads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "experiments/lib/metrics/statistics_table.h"

namespace cambium::metrics {

// e2e, bleu, rouge, ter, chrf, accuracy, f1, matthews, pearson, spearman, multirc, squad.
std::vector<std::string> metric_names();

// Texts need not be valid UTF-8: bad bytes count as U+FFFD. InputError for an unknown name, for numbers of groups
// and outputs that differ (both are named), for no output at all, for a group without references (only squad has
// such).
StatisticsTable metric_table(std::string_view name, const References& references, const Outputs& outputs);

// The scores of the whole, in the order in which they are printed; names and scales are in the metrics' headers.
Scores score(std::string_view name, const References& references, const Outputs& outputs);

// References for `metric`: a CSV file with columns mr and ref (by its name, or its first line), grouped by mr in
// the order of first occurrence; for squad a SQuAD file in JSON, one group a question; else groups of lines with
// empty lines between them. A file without such lines has one group a line, or, if there is only one output,
// one group. Any of them may be packed by xz.
References read_references(std::string_view metric, const std::string& path, size_t outputs);

// One line an output; an empty line is an empty output.
Outputs read_outputs(const std::string& path);

}  // namespace cambium::metrics
