// Figures 5 and 7 of the prefix-tuning paper: what a prefix starts from, on 100 examples.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

StudyPreset preset(const char* name, const char* description, const CellSpec& base, double lr, int64_t seeds) {
  std::vector<Row> rows = {{.name = "zero-shot"},
                           {.name = "random", .tuner = "prefix", .options = {{"init", "random"}}, .lr = lr}};
  for (const char* words :
       {"table-to-text", "summarization", "elephant", "banana", "divide", "active", "keep", "beautiful"})
    rows.push_back({.name = words, .tuner = "prefix", .options = {{"init", "words"}, {"words", words}}, .lr = lr});
  return {name, description, {base, {method_axis(rows), seed_axis(seeds)}}};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec smoke = smoke_base(kSmokeDecoder, "e2e"), paper = e2e_paper_base("openai-community/gpt2-medium");
  smoke.inputs = 2;
  paper.examples = 100, paper.train.steps = 400, paper.train.warmup = "100";
  CellSpec cpu = e2e_base("smollm2-135m", 100, 50);
  cpu.train.steps = 100;
  return study_program(
      argc, argv,
      {.name = "prefix_init",
       .title = "First values of the prefix (E2E, 100 examples)",
       .paper = kPrefixTuning,
       .about = "Keys and values of real words against random numbers; words of the task against others.",
       .columns = {{"bleu", "BLEU", 100, 2}, {"rouge_l", "ROUGE-L", 100, 2}},
       .claims = {method_above("table-to-text", "random", "Li & Liang 2021, Figure 5"),
                  method_above("elephant", "random", "Li & Liang 2021, Figure 5"),
                  method_above("table-to-text", "elephant", "Li & Liang 2021, Figure 5")},
       .presets = {preset(kSmokePreset, "a tiny random model", smoke, 0, 1),
                   preset("cpu", "smollm2-135m, 100 steps, 50 inputs, 5 seeds", cpu, 0.01, 5),
                   preset("paper", "GPT-2 medium, 400 steps: for a GPU", paper, 5e-5, 5)}});
}
