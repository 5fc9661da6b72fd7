// Figure 2 and Table 15 of the LoRA paper: score against trained parameters, for each method at several sizes.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

struct Sizes {
  const char *tuner, *option;
  double lr;
  std::vector<std::string> values;
};

std::vector<Row> rows(const std::vector<Sizes>& all) {
  std::vector<Row> rows = {{.name = "zero-shot"}};
  for (const Sizes& s : all)
    for (const std::string& value : s.values)
      rows.push_back(
          {.name = std::string(s.tuner) + " " + value, .tuner = s.tuner, .options = {{s.option, value}}, .lr = s.lr});
  return rows;
}

StudyPreset preset(const char* name, const char* description, CellSpec base, const std::vector<Sizes>& sizes,
                   const std::vector<double>& rates, int64_t choosing, int64_t seeds) {
  base.choosing = choosing;
  return {name, description, {base, {method_axis(rows(sizes)), rate_axis(rates), seed_axis(seeds)}}};
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<Sizes> small = {{"prompt", "length", 0, {"4"}}, {"lora", "rank", 0, {"1", "4"}}},
                           cpu_sizes = {{"prompt", "length", 0.02, {"5", "20", "80"}},
                                        {"prefix", "length", 0.01, {"2", "10", "40"}},
                                        {"adapter", "bottleneck", 2e-3, {"4", "16", "64"}},
                                        {"lora", "rank", 2e-3, {"1", "8", "64"}}},
                           paper_sizes = {{"prompt", "length", 5e-3, {"32", "64", "128", "256", "512"}},
                                          {"prefix", "length", 8e-5, {"8", "16", "32", "64", "128"}},
                                          {"adapter", "bottleneck", 5e-5, {"1", "4", "16", "64", "112"}},
                                          {"lora", "rank", 2e-4, {"1", "2", "4", "8", "64"}}};
  CellSpec cpu = e2e_base("smollm2-135m", 160, 50);
  cpu.train.epochs = 2;
  return study_program(
      argc, argv,
      {.name = "peft_tradeoff",
       .title = "Score and trained parameters (E2E)",
       .paper = kLoraPaper,
       .about = "Prompts and prefixes get worse beyond some length in the paper (GPT-3); LoRA stays flat.",
       .columns = {{"bleu", "BLEU", 100, 2}, {"rouge_l", "ROUGE-L", 100, 2}},
       .presets = {preset(kSmokePreset, "a tiny random model", smoke_base(kSmokeDecoder, "e2e"), small, {1, 3}, 2, 1),
                   preset("cpu", "smollm2-135m, 160 examples, 50 inputs, three rates, 5 seeds", cpu, cpu_sizes,
                          {0.3, 1, 3}, 20, 5),
                   preset("paper", "GPT-2 medium on E2E, three rates: for a GPU",
                          e2e_paper_base("openai-community/gpt2-medium"), paper_sizes, {0.3, 1, 3}, 200, 5)},
       .pictures = {{.kind = Picture::Kind::scatter,
                     .rows = "task",
                     .columns = "method",
                     .x = "trained_parameters",
                     .log_x = true}}});
}
