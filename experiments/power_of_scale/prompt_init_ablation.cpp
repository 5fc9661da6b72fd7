// Figure 3b of The Power of Scale: what a prompt starts from.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

StudyPreset preset(const char* name, const char* description, const CellSpec& base, const std::string& length,
                   int64_t seeds) {
  std::vector<Row> rows = {{.name = "zero-shot"}};
  for (const char* init : {"random", "vocabulary", "labels"})
    rows.push_back({.name = init, .tuner = "prompt", .options = {{"length", length}, {"init", init}}, .lr = 0.3});
  return {name, description, {base, {task_axis({base.task}), method_axis(rows), seed_axis(seeds)}}};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = class_base("flan-t5-small", "sst2", 500), paper = lester_base("google/t5-base-lm-adapt");
  cpu.inputs = 200;
  const std::string figure = "Lester et al. 2021, Figure 3b";
  return study_program(
      argc, argv,
      {.name = "prompt_init_ablation",
       .title = "First values of the prompt",
       .paper = kPowerOfScale,
       .about = "A prompt that starts from uniform numbers, from embeddings of sampled tokens, or from those of the "
                "classes' "
                "names (the rest sampled).",
       .columns = {{"accuracy", "accuracy", 100, 1}},
       .claims = {method_above("labels", "vocabulary", figure), method_above("vocabulary", "random", figure)},
       .presets = {preset(kSmokePreset, "a made-up task on a tiny random model", smoke_base(kSmokeEncoder, "synthetic"),
                          "4", 1),
                   preset("cpu", "flan-t5-small on SST-2 (--data), 500 examples, 5 seeds", cpu, "20", 5),
                   preset("paper", "T5 1.1, LM-adapted, on SST-2 (--data, --model for other sizes): for a GPU", paper,
                          "100", 5)},
       .other_tasks = task_names()});
}
