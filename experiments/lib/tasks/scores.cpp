#include "experiments/lib/tasks/scores.h"

namespace cambium {

metrics::Scores scores_of_texts(const Task& task, const metrics::References& references,
                                const metrics::Outputs& outputs) {
  metrics::Scores all;
  for (const std::string& metric : task.metrics())
    for (auto& score : metrics::score(metric, references, outputs)) all.push_back(std::move(score));
  return all;
}

metrics::Scores scores_of_classes(const Task& task, std::span<const LabelledRow> rows, std::span<const int> chosen) {
  metrics::References classes, questions;
  metrics::Outputs outputs;
  const std::string& group = task.record().group;
  for (size_t i = 0; i < rows.size(); ++i) {
    classes.push_back({std::to_string(rows[i].label)});
    if (!group.empty()) questions.push_back({classes.back().front(), rows[i].row.joined(group)});
    outputs.push_back(std::to_string(chosen[i]));
  }
  metrics::Scores all;
  for (const std::string& metric : task.metrics()) {
    check_input(metric != "multirc" || !group.empty(), "the metric multirc needs a \"group\" in the task ",
                task.name());
    for (auto& score : metrics::score(metric, metric == "multirc" ? questions : classes, outputs))
      all.push_back(std::move(score));
  }
  return all;
}

}  // namespace cambium
