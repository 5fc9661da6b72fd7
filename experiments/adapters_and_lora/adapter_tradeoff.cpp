// Figures 3 and 4 of the adapters paper: what a trained parameter buys; adapters, top layers, norms alone.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

std::vector<Row> rows(const std::vector<std::string>& sizes, const std::vector<std::string>& layers) {
  std::vector<Row> all = {{.name = "zero-shot"}, {.name = "layer_norm", .tuner = "layer_norm"}};
  for (const std::string& size : sizes)
    all.push_back({.name = "adapter " + size, .tuner = "adapter", .options = {{"bottleneck", size}}});
  for (const std::string& n : layers)
    all.push_back({.name = "top_layers " + n, .tuner = "top_layers", .options = {{"layers", n}}});
  all.push_back({.name = "full", .tuner = "full", .lr = 1e-4});
  return all;
}

StudyPreset preset(const char* name, const char* description, CellSpec base, std::vector<Row> methods,
                   const std::vector<double>& rates, int64_t seeds) {
  base.choosing = rates.size() > 1 ? 272 : 0;
  return {
      name, description, {base, {task_axis({base.task}), method_axis(methods), rate_axis(rates), seed_axis(seeds)}}};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec paper = class_base("google-bert/bert-base-uncased", "sst2", 0);
  paper.train.batch_size = 32, paper.train.warmup = "10%";
  const std::string figure = "Houlsby et al. 2019, Figure 4";
  return study_program(
      argc, argv,
      {.name = "adapter_tradeoff",
       .title = "What a trained parameter buys",
       .paper = kHoulsbyPaper,
       .about = "Adapters of growing width, the top layers, the norms alone, everything.",
       .columns = {{"accuracy", "accuracy", 100, 1}},
       .claims = {method_above("adapter 64", "top_layers 1", figure), method_above("adapter 64", "layer_norm", figure)},
       .presets = {preset(kSmokePreset, "a made-up task on a tiny random model", smoke_base(kSmokeEncoder, "synthetic"),
                          rows({"1", "64"}, {"1"}), {1}, 1),
                   preset("cpu", "minilm-l6 on SST-2 (--data), 2000 examples, three rates, 5 seeds",
                          class_base("minilm-l6", "sst2", 2000), rows({"1", "4", "16", "64"}, {"1", "2", "4"}),
                          {0.3, 1, 3}, 5),
                   preset("paper", "BERT base on SST-2 (--data, --tasks): for a GPU", paper,
                          rows({"1", "2", "4", "8", "16", "32", "64", "128", "256", "512"},
                               {"1", "3", "5", "7", "9", "11", "12"}),
                          {0.1, 1, 10}, 5)},
       .other_tasks = task_names(),
       .pictures = {{.kind = Picture::Kind::scatter,
                     .rows = "task",
                     .columns = "method",
                     .x = "trained_parameters",
                     .log_x = true}}});
}
