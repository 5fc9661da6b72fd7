// The report of a study: scores beside published ones, costs, pictures, verdicts on the paper's trends, figures,
// samples.
#pragma once

#include <string>
#include <vector>

#include "experiments/lib/statistics.h"
#include "experiments/lib/table/study.h"

namespace cambium {

// What the results say about a claim at one place. It holds, or is reversed, where at least 5 seeds are finished for
// all rows, the 95 % interval of the difference over seeds and texts (seed_test) lies on one side of 0, and Holm's p
// over the claims of the study is below 0.05; else it is open.
struct Verdict {
  static constexpr size_t kEnoughSeeds = 5;
  enum class Kind { holds, reversed, open, not_testable } kind = Kind::not_testable;
  std::string claim;  // "prefix above adapter, sst2"
  std::string why;    // not_testable
  SeedTest test{};
  double adjusted_p = 0;  // by Holm, over the claims of the study
  double published = 0;   // difference; NaN: none
  std::string source;
  std::string pairs;  // accuracies: answers that one side alone has right, with McNemar's p

  std::string word() const;  // "holds", "reversed", "open", "open (2 seeds)" where they are too few, "not testable"
};
std::vector<Verdict> judge(const Study&, const StudyResults&);
ReportTable verdict_table(const Study&, const StudyResults&);

// What is published for a place; null: nothing.
const Published* published_for(const Study&, const Coordinates&);

// "64.21", of several seeds "64.21±0.80" (the sample's standard deviation); "–" without any.
std::string with_spread(std::vector<double> values, const ScoreColumn&);
// What tells the group apart in a table where all share `common`: "prefix, length 5".
std::string row_label(const Group&, const Coordinates& common);
// Of the groups, in their order.
std::vector<std::vector<const Group*>> by_task_and_model(const std::vector<Group>&);

// A finished cell as a short row: its scores, what it trained, the seconds it took.
std::vector<ReportTable::Column> row_columns(const Study&);
std::vector<ReportTable::Value> row_values(const Study&, const CellResult&);

// The table with all columns, for groups of one task and model.
ReportTable score_table(const Study&, const StudyPreset&, const Task&, const std::vector<const Group*>&);
void add_figures(const Study&, bool classes, const std::vector<const Group*>&, Report&);
void add_samples(const std::vector<const Group*>&, Report&);
void add_facts(const Study&, const StudyPreset&, bool classes, const std::string& command, const std::vector<Group>&,
               Report&);
void add_pictures(const Study&, const StudyResults&, Report&);

Report study_report(const Study&, const StudyPreset&, const StudyResults&, const std::string& command);

}  // namespace cambium
