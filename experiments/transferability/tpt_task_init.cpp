// Table 1 of the transferability paper: prompt tuning that starts from another task's prompt, and what time that saves.
#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

// Steps until the loss on dev is first within 1 % of `target`; NaN: never.
double steps_to(const Group& g, double target) {
  for (const CellResult* r : g.seeds) {
    const auto loss = r->series.find("dev_loss"), step = r->series.find("dev_step");
    if (loss == r->series.end() || step == r->series.end()) continue;
    for (size_t i = 0; i < loss->second.size(); ++i)
      if (loss->second[i] <= 1.01 * target) return step->second[i];
  }
  return std::numeric_limits<double>::quiet_NaN();
}

// Both of the paper's speed-ups, in steps (their batches are equal): first seed of each.
void add_speed_ups(const StudyResults& results, Report& report) {
  ReportTable t{
      .title = "Speed-up by another task's prompt (loss on dev, first seed)",
      .columns = {{"task", false}, {"start", false}, {"converged at"}, {"convergence"}, {"comparable result"}}};
  for (const Group& g : results.groups) {
    Coordinates own = g.at;
    own["start"] = "itself";
    const std::vector<const Group*> plain = results.at(own);
    if (plain.size() != 1 || plain[0]->seeds.empty() || g.seeds.empty()) continue;
    const double converged = plain[0]->mean("converged_step"), least = plain[0]->mean("dev_loss");
    t.rows.push_back({g.spec.task, g.at.at("start"), format_number(g.mean("converged_step"), 0),
                      format_number(converged / g.mean("converged_step"), 2),
                      format_number(converged / steps_to(g, least), 2)});
  }
  t.notes = {
      "Convergence: steps until prompt tuning is within 1 % of its least loss on dev, over the same of this row. "
      "Comparable result: over the steps until this row is within 1 % of that loss; – where it never is."};
  if (!t.rows.empty()) report.tables.push_back(std::move(t));
}

StudyPreset preset(const char* name, const char* description, CellSpec base, const std::string& length, double lr,
                   const std::vector<std::string>& tasks, int64_t seeds, int64_t every) {
  base.dev = 64, base.train.eval_every = every;
  const Row prompt{.name = "prompt", .tuner = "prompt", .options = {{"length", length}}, .lr = lr};
  return {name, description, {base, {method_axis({prompt}), task_axis(tasks), seed_axis(seeds), start_axis(tasks)}}};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = class_base("flan-t5-small", "sst2", 500), paper = class_base("FacebookAI/roberta-large", "sst2", 0);
  cpu.inputs = 200;
  paper.decision = Decision::words, paper.train.epochs = 30, paper.train.schedule = "constant";
  return study_program(
      argc, argv,
      {.name = "tpt_task_init",
       .title = "Prompt tuning from another task's prompt",
       .paper = kTransferability,
       .about = "Training starts from the prompt of another task instead of new values.",
       .columns = {{"accuracy", "accuracy", 100, 1},
                   {"converged_step", "converged at", 1, 0, false, ScoreColumn::Better::lower}},
       .notes = {"The paper's own speed-ups are not established."},
       .presets = {preset(kSmokePreset, "two made-up tasks on a tiny random model",
                          smoke_base(kSmokeEncoder, "synthetic"), "4", 0, {"synthetic", "synthetic_size"}, 1, 1),
                   preset("cpu", "flan-t5-small (--data, --tasks), 500 examples, 5 seeds", cpu, "20", 0.3, {"sst2"}, 5,
                          10),
                   preset("paper", "RoBERTa large, length 100 (--data, --tasks): for a GPU", paper, "100", 1e-4,
                          {"sst2"}, 5, 500)},
       .other_tasks = task_names(),
       .more = add_speed_ups});
}
