// LoRA and what came after it, each at the rate that dev chose.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

std::vector<Row> rows(const std::string& rank) {
  return {{.name = "zero-shot"},
          {.name = "lora", .tuner = "lora", .options = {{"rank", rank}}},
          {.name = "rslora", .tuner = "lora", .options = {{"rank", rank}, {"rslora", "1"}}},
          {.name = "lora+", .tuner = "lora", .options = {{"rank", rank}, {"plus_ratio", "16"}}},
          {.name = "dora", .tuner = "dora", .options = {{"rank", rank}}},
          {.name = "vera", .tuner = "vera"},
          {.name = "ia3", .tuner = "ia3"}};
}

StudyPreset preset(const char* name, const char* description, CellSpec base, const std::string& rank,
                   const std::vector<double>& rates, int64_t choosing, int64_t seeds) {
  base.choosing = choosing;
  return {name, description, {base, {method_axis(rows(rank)), rate_axis(rates), seed_axis(seeds)}}};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = e2e_base("smollm2-135m", 160, 50);
  cpu.train.epochs = 2;
  return study_program(
      argc, argv,
      {.name = "lora_variants",
       .title = "LoRA and its relatives (E2E)",
       .paper = "Hu et al. 2022; Kalajdzievski 2023; Hayou et al. 2024; Liu et al. 2024; Kopiczko et al. 2024; Liu et "
                "al. 2022",
       .about = "Each row chooses among the same multiples of its tuner's own rate by its score on dev.",
       .columns = {{"bleu", "BLEU", 100, 2}, {"rouge_l", "ROUGE-L", 100, 2}},
       .claims = {method_above("dora", "lora", "Liu et al. 2024, Table 1 (commonsense)"),
                  method_above("lora+", "lora", "Hayou et al. 2024, section 5")},
       .presets = {preset(kSmokePreset, "a tiny random model", smoke_base(kSmokeDecoder, "e2e"), "4", {1}, 2, 1),
                   preset("cpu", "smollm2-135m, 160 examples, 50 inputs, four rates, 5 seeds", cpu, "8",
                          {0.3, 1, 3, 10}, 20, 5),
                   preset("paper", "GPT-2 medium on E2E, five rates: for a GPU",
                          e2e_paper_base("openai-community/gpt2-medium"), "8", {0.1, 0.3, 1, 3, 10}, 200, 5)}});
}
