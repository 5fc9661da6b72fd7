// Zero-shot transfer of prompts, and how well an indicator orders it.
#pragma once

#include <string>
#include <vector>

#include "core/tensor.h"

namespace cambium {

// The performance of each task's prompt on each task. NaN: not measured.
struct TransferMatrix {
  std::vector<std::string> tasks;
  std::vector<std::vector<double>> scores;  // [target][source]

  // Divided by what the target's own prompt reaches.
  double relative(size_t target, size_t source) const { return scores[target][source] / scores[target][target]; }
};

// Spearman's correlation of an indicator with the performance, under the conventions that the paper leaves open: for
// each target over sources, then the mean over targets, or over all pairs at once, on relative performance; without
// and with a prompt's own task.
struct TransferCorrelation {
  double per_target = 0, per_target_own = 0, pooled = 0, pooled_own = 0;
};
// values: the indicator, [target][source]. Targets without two different values are left out; none left: NaN.
TransferCorrelation correlate(const TransferMatrix&, const std::vector<std::vector<double>>& values);

// The six types of Su et al.'s tasks ("sentiment", ...); empty for another task.
std::string task_type(const std::string& task);

// Released prompts and results: DIR/task_prompt_emb/<task>Prompt<model>/task_prompt, DIR/results.tsv (columns set,
// target_task, prompt_from, value as "acc=0.5"; the rows of set "main").
struct ReleasedModel {
  std::string name;  // as the files have it: "RobertaLarge"
  std::vector<Tensor> prompts;
  TransferMatrix transfer;  // prompts[i] is that of transfer.tasks[i]
};
// Models with at least two tasks, in the order of their names; left out: the random prompts, and the task `recastner`,
// which is none of the paper's. Throws InputError for what is missing or damaged.
std::vector<ReleasedModel> read_released(const std::string& directory);

}  // namespace cambium
