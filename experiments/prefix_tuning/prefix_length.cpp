// Figure 4 of the prefix-tuning paper: the length of the prefix.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

StudyPreset preset(const char* name, const char* description, const CellSpec& base, OptionMap options, double lr,
                   const std::vector<std::string>& lengths, int64_t seeds) {
  const Row prefix{.name = "prefix", .tuner = "prefix", .options = std::move(options), .lr = lr};
  return {name,
          description,
          {base, {method_axis({{.name = "zero-shot"}, prefix}), option_axis("length", lengths), seed_axis(seeds)}}};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = e2e_base("smollm2-135m", 160, 50);
  cpu.train.epochs = 2;
  return study_program(
      argc, argv,
      {.name = "prefix_length",
       .title = "Length of the prefix (E2E)",
       .paper = kPrefixTuning,
       .about = "Scores rise up to a length (10 for tables in the paper), then fall slightly.",
       .columns = {{"bleu", "BLEU", 100, 2}, {"rouge_l", "ROUGE-L", 100, 2}},
       .claims = {above({{"method", "prefix"}, {"length", "10"}}, {{"method", "prefix"}, {"length", "1"}},
                        "Li & Liang 2021, Figure 4")},
       .presets = {preset(kSmokePreset, "a tiny random model", smoke_base(kSmokeDecoder, "e2e"), {}, 0,
                          {"1", "5", "10"}, 1),
                   preset("cpu", "smollm2-135m, 160 examples, 50 inputs, 5 seeds", cpu, {{"init", "words"}}, 0.01,
                          {"1", "2", "5", "10", "20", "40"}, 5),
                   preset("paper", "GPT-2 medium: for a GPU", e2e_paper_base("openai-community/gpt2-medium"),
                          {{"init", "random"}, {"reparametrize", "1"}}, 8e-5, {"1", "2", "5", "10", "20", "40", "100"},
                          5)},
       .pictures = {{.kind = Picture::Kind::curve, .rows = "length", .columns = "method", .log_x = true}}});
}
