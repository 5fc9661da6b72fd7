// Table 4 of the transferability paper: which indicator of two prompts' likeness orders their zero-shot transfer.
#include <string_view>

#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/static_program.h"
#include "experiments/lib/table/study.h"
#include "experiments/lib/transfer/stored_indicators.h"
#include "experiments/lib/transfer/trained_indicators.h"

using namespace cambium;

namespace {

StudyPreset preset(const char* name, const char* description, const CellSpec& base, const std::string& length,
                   double lr, const std::vector<std::string>& tasks, int64_t seeds) {
  const Row prompt{.name = "prompt", .tuner = "prompt", .options = {{"length", length}}, .lr = lr};
  return {name, description, {base, {method_axis({prompt}), task_axis(tasks), seed_axis(seeds), source_axis(tasks)}}};
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::string_view(argv[i]).starts_with("--from-stored")) return stored_indicators_program(argc, argv);
  CellSpec cpu = class_base("flan-t5-small", "sst2", 500), paper = class_base("FacebookAI/roberta-large", "sst2", 0);
  cpu.inputs = 200;
  paper.decision = Decision::words, paper.train.epochs = 30, paper.train.schedule = "constant";
  return study_program(
      argc, argv,
      {.name = "tpt_indicators",
       .title = "Indicators of transferability",
       .paper = kTransferability,
       .about =
           "Spearman's correlation of each indicator of two prompts' likeness with the zero-shot performance of one "
           "task's prompt on another task. Of released prompts: show --from-stored DIR.",
       .columns = {{"accuracy", "accuracy", 100, 1}},
       .presets = {preset(kSmokePreset, "three made-up tasks on a tiny random model",
                          smoke_base(kSmokeEncoder, "synthetic"), "4", 0,
                          {"synthetic", "synthetic_size", "synthetic_heat"}, 1),
                   preset("cpu", "flan-t5-small (--data, --tasks), 500 examples, 3 seeds", cpu, "20", 0.3, {"sst2"}, 3),
                   preset("paper", "RoBERTa large, length 100 (--data, --tasks): for a GPU", paper, "100", 1e-4,
                          {"sst2"}, 3)},
       .other_tasks = task_names(),
       .pictures = {{.kind = Picture::Kind::heat_map, .rows = "task", .columns = "source", .title = "Accuracy"}},
       .tables = false,
       .more = add_trained_indicators});
}
