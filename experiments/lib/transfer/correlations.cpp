#include "experiments/lib/transfer/correlations.h"

#include "experiments/lib/transfer/indicators.h"

namespace cambium {
namespace {

using Matrix = std::vector<std::vector<double>>;

// [indicator][target][source]. All indicators are symmetric.
std::vector<Matrix> indicator_matrices(const std::vector<Tensor>& prompts) {
  const size_t n = prompts.size();
  std::vector<Matrix> all(kIndicatorNames.size(), Matrix(n, std::vector<double>(n)));
  for (size_t t = 0; t < n; ++t)
    for (size_t s = 0; s <= t; ++s) {
      const auto values = indicators(prompts[t], prompts[s]);
      for (size_t k = 0; k < values.size(); ++k) all[k][t][s] = all[k][s][t] = values[k];
    }
  return all;
}

// 1 where both tasks have one type; empty where a task's type is not known.
Matrix same_type(const std::vector<std::string>& tasks) {
  Matrix same;
  for (const std::string& t : tasks) {
    if (task_type(t).empty()) return {};
    std::vector<double>& row = same.emplace_back();
    for (const std::string& s : tasks) row.push_back(task_type(t) == task_type(s));
  }
  return same;
}

std::vector<ReportTable::Value> correlation_row(const std::string& name, const TransferCorrelation& c) {
  return {name, format_number(c.per_target, 3), format_number(c.per_target_own, 3), format_number(c.pooled, 3),
          format_number(c.pooled_own, 3)};
}

}  // namespace

ReportTable correlation_table(const std::string& title, const std::vector<Tensor>& prompts,
                              const TransferMatrix& transfer) {
  const std::string per_target = "mean over targets", pooled = "all pairs, relative performance";
  ReportTable table{.title = title,
                    .columns = {{"indicator", false},
                                {"others", true, per_target},
                                {"own prompt too", true, per_target},
                                {"others", true, pooled},
                                {"own prompt too", true, pooled}}};
  const std::vector<Matrix> matrices = indicator_matrices(prompts);
  for (size_t k = 0; k < matrices.size(); ++k)
    table.rows.push_back(correlation_row(kIndicatorNames[k], correlate(transfer, matrices[k])));
  if (const Matrix same = same_type(transfer.tasks); !same.empty())
    table.rows.push_back(correlation_row("same type", correlate(transfer, same)));
  return table;
}

std::vector<std::string> correlation_notes() {
  return {
      "mean over targets: over sources for each target task, then the mean; all pairs: at once, performance divided by "
      "that of the target's own prompt. others: without a prompt's own task. The release does not say which the paper "
      "took.",
      "same type: 1 where both tasks are of one type (sentiment, inference, ethics, paraphrase, questions, summaries), "
      "known beforehand.",
      "Activated neurons (ON) need the models' weights."};
}

}  // namespace cambium
