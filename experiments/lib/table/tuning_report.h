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

// What the results say about a claim. It holds, or is reversed, where at least 5 seeds are finished for both rows, the
// 95 % interval of the difference over seeds and texts (seed_test) lies on one side of 0, and Holm's p over the claims
// of the table is below 0.05; else it is open.
struct Verdict {
  static constexpr size_t kEnoughSeeds = 5;
  enum class Kind { holds, reversed, open, not_testable } kind = Kind::not_testable;
  std::string why;  // not_testable
  SeedTest test{};
  double adjusted_p = 0;  // by Holm, over the claims of the table

  std::string word() const;  // "holds", "reversed", "open", "open (2 seeds)" where they are too few, "not testable"
};
std::vector<Verdict> judge(const std::vector<Claim>&, const std::vector<RowResults>&, const std::string& metric,
                           const std::string& score);

ReportTable verdict_table(const TuningTable&, const std::vector<RowResults>&, const std::string& metric);
// Null where nothing is published for a method.
const PublishedRow* published_for(const TuningTable&, const std::string& method);

// A finished cell as a short row: its scores, what it trained, the seconds it took.
std::vector<ReportTable::Column> row_columns(const TuningTable&);
std::vector<ReportTable::Value> row_values(const TuningTable&, const CellResult&);

Report tuning_report(const TuningTable&, const TuningSetting&, const Task&, const std::string& command,
                     const std::vector<RowResults>&);

}  // namespace cambium
