#include "experiments/lib/transfer/trained_indicators.h"

#include "core/files.h"
#include "experiments/lib/transfer/correlations.h"
#include "tuning/checkpoint.h"

namespace cambium {
namespace {

// The one table of a trained prompt: [length, width].
Tensor prompt_of(const std::string& path) {
  const CheckpointInfo info = read_checkpoint_info(path);
  const auto& parameters = info.tuner().parameters;
  check_input(parameters.size() == 1, path, ": a prompt of ", parameters.size(), " tables has no one likeness");
  return read_tuner_parameter(path, parameters.begin()->first);
}

}  // namespace

void add_trained_indicators(const StudyResults& results, Report& report) {
  const Axis* tasks = results.grid.axis("task");
  if (!tasks) return;
  TransferMatrix transfer{.tasks = tasks->labels()};
  std::vector<Tensor> prompts;
  for (const std::string& target : transfer.tasks) {
    std::vector<double>& row = transfer.scores.emplace_back();
    for (const std::string& source : transfer.tasks) {
      const std::vector<const Group*> cells = results.at({{"task", target}, {"source", source}});
      if (cells.size() != 1 || cells[0]->seeds.empty()) return;  // not finished
      const CellResult& first = *cells[0]->seeds.front();
      row.push_back(first.score("accuracy"));
      if (source != target) continue;
      const auto tuner = first.notes.find("tuner_file");
      if (tuner == first.notes.end() || !file_exists(tuner->second)) {
        report.missing.push_back("indicators: the prompt of " + target + " is not there any more");
        return;
      }
      prompts.push_back(prompt_of(tuner->second));
    }
  }
  report.tables.push_back(
      correlation_table("Spearman's correlation with zero-shot transfer, first seed", prompts, transfer));
  report.tables.back().notes = correlation_notes();
}

}  // namespace cambium
