// Figures 3 and 6 of the prefix-tuning paper: few examples.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

std::vector<Row> rows(double prefix_rate, double full_rate) {
  return {{.name = "zero-shot"},
          {.name = "prefix", .tuner = "prefix", .options = {{"length", "10"}, {"init", "words"}}, .lr = prefix_rate},
          {.name = "prefix random",
           .tuner = "prefix",
           .options = {{"length", "10"}, {"init", "random"}},
           .lr = prefix_rate},
          {.name = "full", .tuner = "full", .lr = full_rate}};
}

StudyPreset preset(const char* name, const char* description, const CellSpec& base, std::vector<Row> methods,
                   const std::vector<int64_t>& counts, int64_t seeds) {
  return {name, description, {base, {method_axis(methods), examples_axis(counts), seed_axis(seeds)}}};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = e2e_base("smollm2-135m", 50, 50), paper = e2e_paper_base("openai-community/gpt2-medium");
  cpu.train.steps = 100, paper.train.steps = 400, paper.train.warmup = "100";
  const std::string figure = "Li & Liang 2021, Figure 3";
  return study_program(
      argc, argv,
      {.name = "prefix_low_data",
       .title = "Few examples (E2E)",
       .paper = kPrefixTuning,
       .about = "Prefixes and fine-tuning on 50 to 500 examples, the same number of steps for each. The seed draws the "
                "examples.",
       .columns = {{"bleu", "BLEU", 100, 2}, {"rouge_l", "ROUGE-L", 100, 2}},
       .claims = {method_above("prefix", "full", figure, {{"examples", "50"}}),
                  gap_shrinks({{"method", "prefix"}}, {{"method", "full"}}, "examples", figure),
                  method_above("prefix", "prefix random", "Li & Liang 2021, Figure 5", {{"examples", "50"}})},
       .notes = {"Fine-tuning has no words in front of its inputs, as it has in the paper."},
       .presets = {preset(kSmokePreset, "a tiny random model", smoke_base(kSmokeDecoder, "e2e"), rows(0, 0), {4, 8}, 1),
                   preset("cpu", "smollm2-135m, 100 steps, 50 inputs, 5 seeds", cpu, rows(0.01, 5e-5),
                          {50, 100, 200, 500}, 5),
                   preset("paper", "GPT-2 medium, 400 steps, 5 seeds: for a GPU", paper, rows(5e-5, 5e-5),
                          {50, 100, 200, 500}, 5)},
       .pictures = {{.kind = Picture::Kind::curve, .rows = "examples", .columns = "method"}}});
}
