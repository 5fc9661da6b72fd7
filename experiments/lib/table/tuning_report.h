// The report of a tuning table: scores beside published ones, costs, verdicts on the paper's trends, figures, samples.
#pragma once

#include <string>
#include <vector>

#include "experiments/lib/statistics.h"
#include "experiments/lib/table/tuning_cell.h"

namespace cambium {

// The finished seeds of one row; all cells of a method on one model and task.
struct RowResults {
  TuningMethod method;
  std::vector<const CellResult*> seeds;  // only finished ones
  int64_t wanted = 0;

  std::vector<double> scores(const std::string& name) const;
  std::vector<double> measured(const std::string& name) const;
};

// What the results say about a claim. Texts are resampled (paired bootstrap); of several seeds the statistics of each
// text are added up first, so the interval is over texts, for the mean of these seeds.
struct Verdict {
  enum class Kind { holds, reversed, open, not_testable } kind = Kind::not_testable;
  std::string why;  // not_testable
  PairedTest test{};
  double adjusted_p = 0;  // by Holm, over the claims of the table
  size_t seeds = 0;
};
const char* name_of(Verdict::Kind);
std::vector<Verdict> judge(const std::vector<Claim>&, const std::vector<RowResults>&, const std::string& metric,
                           const std::string& score);

// A finished cell as a short row: its scores, what it trained, the seconds it took.
std::vector<ReportTable::Column> row_columns(const TuningTable&);
std::vector<ReportTable::Value> row_values(const TuningTable&, const CellResult&);

Report tuning_report(const TuningTable&, const TuningSetting&, const Task&, const std::string& command,
                     const std::vector<RowResults>&);

}  // namespace cambium
