// Figure 3a of The Power of Scale: how many virtual tokens a prompt needs.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

StudyPreset preset(const char* name, const char* description, const CellSpec& base,
                   const std::vector<std::string>& lengths, int64_t seeds) {
  const Row prompt{.name = "prompt", .tuner = "prompt", .options = {{"init", "labels"}}, .lr = 0.3};
  return {name,
          description,
          {base,
           {task_axis({base.task}), method_axis({{.name = "zero-shot"}, prompt}), option_axis("length", lengths),
            seed_axis(seeds)}}};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = class_base("flan-t5-small", "sst2", 500), paper = lester_base("google/t5-base-lm-adapt");
  cpu.inputs = 200;
  const std::string figure = "Lester et al. 2021, Figure 3a";
  return study_program(
      argc, argv,
      {.name = "prompt_length_ablation",
       .title = "Length of the prompt",
       .paper = kPowerOfScale,
       .about = "Prompts of growing length on a frozen model: beyond 20 tokens little is gained, and large models do "
                "with one.",
       .columns = {{"accuracy", "accuracy", 100, 1}},
       .claims = {above({{"method", "prompt"}, {"length", "20"}}, {{"method", "prompt"}, {"length", "1"}}, figure),
                  above({{"method", "prompt"}, {"length", "100"}}, {{"method", "prompt"}, {"length", "20"}}, figure)},
       .presets = {preset(kSmokePreset, "a made-up task on a tiny random model", smoke_base(kSmokeEncoder, "synthetic"),
                          {"1", "5", "20"}, 1),
                   preset("cpu", "flan-t5-small on SST-2 (--data), 500 examples, 5 seeds", cpu,
                          {"1", "5", "20", "100", "150"}, 5),
                   preset("paper", "T5 1.1, LM-adapted, on SST-2 (--data, --model for other sizes): for a GPU", paper,
                          {"1", "5", "20", "100", "150"}, 5)},
       .other_tasks = task_names(),
       .pictures = {{.kind = Picture::Kind::curve, .rows = "length", .columns = "method", .log_x = true}}});
}
