// Figure 2 of the transferability paper: prompt tuning takes more steps than fine-tuning.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

StudyPreset preset(const char* name, const char* description, CellSpec base, std::vector<Row> rows,
                   const std::vector<std::string>& tasks, int64_t seeds, int64_t every) {
  base.dev = 64, base.train.eval_every = every, base.train.schedule = "constant";
  return {name, description, {base, {task_axis(tasks), method_axis(rows), seed_axis(seeds)}}};
}

std::vector<Row> rows(const std::string& length, double prompt_rate, double full_rate) {
  return {{.name = "prompt", .tuner = "prompt", .options = {{"length", length}}, .lr = prompt_rate},
          {.name = "full", .tuner = "full", .lr = full_rate}};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = class_base("flan-t5-small", "sst2", 1000), paper = class_base("FacebookAI/roberta-large", "sst2", 0);
  cpu.inputs = 200;
  paper.decision = Decision::words, paper.train.epochs = 30;
  return study_program(
      argc, argv,
      {.name = "tpt_convergence",
       .title = "Steps until convergence",
       .paper = kTransferability,
       .about = "The first step whose loss on dev is within 1 % of the run's least.",
       .columns = {{"converged_step", "converged at", 1, 0},
                   {"accuracy", "accuracy", 100, 1},
                   {"dev_loss", "loss on dev", 1, 3}},
       .claims = {method_above("prompt", "full", "Su et al. 2022, Figure 2")},
       .presets = {preset(kSmokePreset, "a made-up task on a tiny random model", smoke_base(kSmokeEncoder, "synthetic"),
                          rows("4", 0, 0), {"synthetic"}, 1, 1),
                   preset("cpu", "flan-t5-small on SST-2 (--data), 1000 examples, 5 seeds", cpu, rows("20", 0.3, 1e-3),
                          {"sst2"}, 5, 20),
                   preset("paper", "RoBERTa large on SST-2 (--data): for a GPU", paper, rows("100", 1e-4, 1e-5),
                          {"sst2"}, 5, 500)},
       .other_tasks = task_names()});
}
