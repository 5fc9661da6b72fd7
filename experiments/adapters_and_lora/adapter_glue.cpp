// Table 1 of the adapters paper: adapters against fine-tuning on GLUE, each at the rate that dev chose.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

std::vector<Row> rows(const std::vector<std::string>& sizes, double adapter_rate, double full_rate) {
  std::vector<Row> all = {{.name = "zero-shot"}};
  for (const std::string& size : sizes)
    all.push_back(
        {.name = "adapter " + size, .tuner = "adapter", .options = {{"bottleneck", size}}, .lr = adapter_rate});
  all.push_back({.name = "full", .tuner = "full", .lr = full_rate});
  return all;
}

StudyPreset preset(const char* name, const char* description, CellSpec base, std::vector<Row> methods,
                   const std::vector<double>& rates, int64_t choosing, int64_t seeds) {
  base.choosing = choosing;
  return {
      name, description, {base, {task_axis({base.task}), method_axis(methods), rate_axis(rates), seed_axis(seeds)}}};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = class_base("minilm-l6", "sst2", 2000), paper = class_base("google-bert/bert-large-uncased", "sst2", 0);
  paper.train.batch_size = 32, paper.train.epochs = 3, paper.train.warmup = "10%";
  const std::string table = "Houlsby et al. 2019, Table 1 (test server)";
  return study_program(
      argc, argv,
      {.name = "adapter_glue",
       .title = "Adapters on GLUE",
       .paper = kHoulsbyPaper,
       .about = "Adapters of three sizes and fine-tuning; every row chooses among three rates by its score on inputs "
                "of dev that "
                "are not reported.",
       .columns = {{"accuracy", "accuracy", 100, 1}},
       .published_setting = "BERT large, all of SST-2",
       .published = {{{{"method", "full"}, {"task", "sst2"}}, table, {94.9}},
                     {{{"method", "adapter 64"}, {"task", "sst2"}}, table, {94.2}, "64 wide", {{"bottleneck", "64"}}}},
       .claims = {method_above("full", "adapter 64", table)},
       .presets = {preset(kSmokePreset, "a made-up task on a tiny random model", smoke_base(kSmokeEncoder, "synthetic"),
                          rows({"8"}, 0, 0), {0.3, 1}, 4, 1),
                   preset("cpu", "minilm-l6 on SST-2 (--data), 2000 examples, three rates, 5 seeds", cpu,
                          rows({"8", "64"}, 1e-3, 1e-4), {0.3, 1, 3}, 272, 5),
                   preset("paper", "BERT large on SST-2 (--data, --tasks): for a GPU", paper,
                          rows({"8", "64", "256"}, 3e-4, 3e-5), {0.1, 1, 10}, 272, 5)},
       .other_tasks = task_names(),
       .pictures = {{.rows = "method", .columns = "task"}}});
}
