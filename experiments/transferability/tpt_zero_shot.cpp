// Figure 3 of the transferability paper: the prompt of each task on every task, beside a random prompt.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

StudyPreset preset(const char* name, const char* description, const CellSpec& base, const Row& prompt,
                   const std::vector<std::string>& tasks, int64_t seeds) {
  return {name,
          description,
          {base, {method_axis({prompt}), task_axis(tasks), seed_axis(seeds), source_axis(tasks)}},
          {"A task's own prompt stands on the diagonal."}};
}

Row prompt(const std::string& length, const std::string& init, double lr) {
  return {.name = "prompt", .tuner = "prompt", .options = {{"length", length}, {"init", init}}, .lr = lr};
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> made_up = {"synthetic", "synthetic_size", "synthetic_heat"}, glue = {"sst2"};
  CellSpec cpu = class_base("flan-t5-small", "sst2", 500), paper = class_base("FacebookAI/roberta-large", "sst2", 0);
  cpu.inputs = 200;
  paper.decision = Decision::words, paper.train.epochs = 30, paper.train.schedule = "constant";
  return study_program(
      argc, argv,
      {.name = "tpt_zero_shot",
       .title = "Zero-shot transfer of prompts",
       .paper = kTransferability,
       .about = "The prompt that was trained on one task answers another task, without any training there.",
       .columns = {{"accuracy", "accuracy", 100, 1}},
       .presets = {preset(kSmokePreset, "three made-up tasks on a tiny random model",
                          smoke_base(kSmokeEncoder, "synthetic"), prompt("4", "vocabulary", 0), made_up, 1),
                   preset("cpu", "flan-t5-small (--data, --tasks), 500 examples, 3 seeds", cpu,
                          prompt("20", "vocabulary", 0.3), glue, 3),
                   preset("paper", "RoBERTa large, label words at a mask, length 100 (--data, --tasks): for a GPU",
                          paper, prompt("100", "random", 1e-4), glue, 3)},
       .other_tasks = task_names(),
       .pictures = {{.kind = Picture::Kind::heat_map, .rows = "task", .columns = "source", .title = "Accuracy"},
                    {.kind = Picture::Kind::heat_map,
                     .rows = "task",
                     .columns = "source",
                     .title = "Accuracy, relative to the task's own prompt",
                     .relative = true}},
       .tables = false});
}
