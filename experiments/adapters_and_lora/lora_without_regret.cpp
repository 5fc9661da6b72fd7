// LoRA Without Regret: the loss against rank, rate and batch, LoRA on all matrices or on some, beside fine-tuning.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

std::vector<Row> rows(const std::vector<std::string>& ranks) {
  std::vector<Row> all = {{.name = "full", .tuner = "full"}};
  const auto lora = [&](const std::string& name, const std::string& rank, const char* targets) {
    all.push_back({.name = name, .tuner = "lora", .options = {{"rank", rank}, {"alpha", "32"}, {"targets", targets}}});
  };
  for (const std::string& rank : ranks) lora("lora " + rank, rank, "query,key,value,output,up,down");
  lora("lora " + ranks.back() + " attention", ranks.back(), "query,key,value,output");
  lora("lora " + ranks.back() + " MLP", ranks.back(), "up,down");
  return all;
}

// The same rates for every row: where each has its best is what is asked.
Axis rates_axis(const std::vector<std::string>& rates) {
  Axis axis{.name = "lr"};
  for (const std::string& rate : rates)
    axis.values.push_back({rate, [lr = std::stod(rate)](CellSpec& s) { s.train.lr = lr; }});
  return axis;
}

Axis batch_axis(const std::vector<int64_t>& sizes) {
  Axis axis{.name = "batch"};
  for (const int64_t n : sizes)
    axis.values.push_back({std::to_string(n), [n](CellSpec& s) { s.train.batch_size = n; }});
  return axis;
}

StudyPreset preset(const char* name, const char* description, const CellSpec& base,
                   const std::vector<std::string>& ranks, const std::vector<std::string>& rates,
                   const std::vector<int64_t>& batches, int64_t seeds) {
  return {
      name, description, {base, {method_axis(rows(ranks)), batch_axis(batches), rates_axis(rates), seed_axis(seeds)}}};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = e2e_base("smollm2-135m", 512, 20), paper = e2e_base("meta-llama/Llama-3.2-1B", 0, 0);
  cpu.train.epochs = 1, cpu.train.schedule = "constant", cpu.dev = 64;
  paper.train.schedule = "constant", paper.dev = 512;
  return study_program(
      argc, argv,
      {.name = "lora_without_regret",
       .title = "LoRA against fine-tuning: rank, rate, batch",
       .paper = "Schulman et al., LoRA Without Regret, Thinking Machines Lab 2025",
       .about = "The least loss on dev of each row at each rate and batch size, with equal examples. There LoRA's best "
                "rate is "
                "about ten times that of fine-tuning, LoRA on the MLP does better than on attention alone, and LoRA "
                "loses at "
                "large batches.",
       .columns = {{"dev_loss", "loss on dev", 1, 3, true, ScoreColumn::Better::lower},
                   {"last_loss", "loss at the end", 1, 3, false, ScoreColumn::Better::lower}},
       .presets = {[&] {
                     CellSpec smoke = smoke_base(kSmokeDecoder, "e2e");
                     smoke.dev = 4, smoke.inputs = 1;
                     return preset(kSmokePreset, "a tiny random model", smoke, {"1", "4"}, {"1e-4", "1e-3"}, {2}, 1);
                   }(),
                   preset("cpu", "smollm2-135m on E2E, 512 examples once, 3 seeds", cpu, {"1", "8", "64"},
                          {"3e-5", "1e-4", "3e-4", "1e-3", "3e-3"}, {4, 32}, 3),
                   preset("paper", "a Llama of 1 B on E2E: for a GPU", paper, {"1", "4", "16", "64", "256"},
                          {"1e-5", "3e-5", "1e-4", "3e-4", "1e-3", "3e-3"}, {8, 32, 128}, 5)},
       .pictures = {{.kind = Picture::Kind::curve, .rows = "lr", .columns = "method", .log_x = true}},
       .tables = false});
}
