// The diagonal of Figure 3 of the transferability paper: a prompt for each task, against a random one.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

std::vector<Row> rows(const std::string& length, const std::string& init, double lr) {
  return {{.name = "zero-shot"},
          {.name = "prompt", .tuner = "prompt", .options = {{"length", length}, {"init", init}}, .lr = lr}};
}

// The prompt's initial values, and what it learns.
Axis values_axis() {
  return {.name = "values",
          .values = {{"random prompt", [](CellSpec& s) { s.untrained = !s.tuner.empty(); }},
                     {"trained", [](CellSpec&) {}}}};
}

StudyPreset preset(const char* name, const char* description, CellSpec base, std::vector<Row> methods,
                   const std::vector<std::string>& tasks, int64_t seeds, std::vector<std::string> notes = {}) {
  return {name,
          description,
          {std::move(base), {task_axis(tasks), method_axis(methods), values_axis(), seed_axis(seeds)}},
          std::move(notes)};
}

CellSpec paper_base() {
  CellSpec b = class_base("FacebookAI/roberta-large", "sst2", 0);
  b.decision = Decision::words, b.train.schedule = "constant", b.train.epochs = 30,
  b.train.optimizer_options.epsilon = 1e-6;
  return b;
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = class_base("flan-t5-small", "sst2", 500);
  cpu.inputs = 200;
  return study_program(
      argc, argv,
      {.name = "tpt_train_prompts",
       .title = "Prompts for each task",
       .paper = kTransferability,
       .about = "Prompt tuning on each task: what the prompts that are transferred elsewhere reach at home.",
       .columns = {{"accuracy", "accuracy", 100, 1}},
       .published_setting = "RoBERTa large",
       .published = {{{{"method", "prompt"}, {"values", "trained"}, {"task", "sst2"}},
                      "Su et al. 2022, released results",
                      {95.9},
                      "length 100",
                      {{"length", "100"}}}},
       .claims = {above({{"method", "prompt"}, {"values", "trained"}},
                        {{"method", "prompt"}, {"values", "random prompt"}}, "Su et al. 2022, Figure 3")},
       .presets =
           {preset(kSmokePreset, "three made-up tasks on a tiny random model", smoke_base(kSmokeEncoder, "synthetic"),
                   rows("4", "vocabulary", 0), {"synthetic", "synthetic_size", "synthetic_heat"}, 1),
            preset("cpu", "flan-t5-small on SST-2 (--data; --tasks for others), 500 examples, 5 seeds", cpu,
                   rows("20", "vocabulary", 0.3), {"sst2"}, 5),
            preset("paper", "RoBERTa large, label words at a mask, length 100 (--data, --tasks): for a GPU",
                   paper_base(), rows("100", "random", 1e-4), {"sst2"}, 5,
                   {"Su et al. choose the epoch by hand on dev, zero the positions of the prompt and put the mask in "
                    "its first row; here the mask stands in the task's pattern, and the last epoch counts."})},
       .other_tasks = task_names(),
       .pictures = {{.kind = Picture::Kind::matrix, .rows = "task", .columns = "values"}}});
}
