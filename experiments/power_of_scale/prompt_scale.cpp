// Figure 1 of The Power of Scale: prompt tuning comes closer to model tuning as models grow.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

StudyPreset preset(const char* name, const char* description, CellSpec base, const std::vector<std::string>& models,
                   const std::string& length, const std::vector<double>& rates, int64_t seeds,
                   std::vector<std::string> notes = {}) {
  base.choosing = rates.size() > 1 ? 100 : 0;
  const std::vector<Row> rows = {
      {.name = "zero-shot"},
      {.name = "prompt", .tuner = "prompt", .options = {{"length", length}, {"init", "labels"}}, .lr = 0.3},
      {.name = "full", .tuner = "full", .lr = 1e-3}};
  return {name,
          description,
          {base,
           {task_axis({base.task}), model_axis(models), method_axis(rows), rate_axis(rates), seed_axis(seeds)}},
          std::move(notes)};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = class_base("1m-lm", "sst2", 1000), paper = lester_base("google/t5-small-lm-adapt");
  cpu.inputs = 400, cpu.decision = paper.decision = Decision::text;
  paper.train.save_every = 1000;
  return study_program(
      argc, argv,
      {.name = "prompt_scale",
       .title = "Prompt tuning and the size of the model",
       .paper = kPowerOfScale,
       .about = "Prompt tuning and model tuning on models of growing size, each at the rate that dev chose.",
       .columns = {{"accuracy", "accuracy", 100, 1}},
       .claims = {gap_shrinks({{"method", "full"}}, {{"method", "prompt"}}, "model", "Lester et al. 2021, Figure 1"),
                  rises("model", {{"method", "prompt"}}, "Lester et al. 2021, Figure 1")},
       .presets = {preset(kSmokePreset, "one tiny random model", smoke_base(kSmokeEncoder, "synthetic"),
                          {kSmokeEncoder}, "4", {1}, 1),
                   preset("cpu", "the ladder of docs/pretraining.md on SST-2 (--data), 1000 examples, 5 seeds", cpu,
                          {"1m-lm", "3m-lm", "7m-lm", "16m-lm"}, "20", {0.3, 1, 3}, 5,
                          {"The models are those of docs/pretraining.md, found as names in the folder of models."}),
                   preset("paper", "T5 1.1, LM-adapted, on SST-2 (--data): for GPUs", paper,
                          {"google/t5-small-lm-adapt", "google/t5-base-lm-adapt", "google/t5-large-lm-adapt",
                           "google/t5-xl-lm-adapt", "google/t5-xxl-lm-adapt"},
                          "100", {1}, 5, {"One task stands for SuperGLUE's eight (--tasks names others)."})},
       .other_tasks = task_names(),
       .pictures = {{.rows = "method", .columns = "model"}}});
}
