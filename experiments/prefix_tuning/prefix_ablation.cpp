// Table 4 of the prefix-tuning paper: a prefix against embeddings alone.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

std::vector<Row> rows(OptionMap prefix, double prefix_rate, double prompt_rate) {
  std::vector<Row> all = {{.name = "zero-shot"},
                          {.name = "prefix", .tuner = "prefix", .options = std::move(prefix), .lr = prefix_rate}};
  for (const char* length : {"1", "10", "20"})
    all.push_back(
        {.name = std::string("EMB-") + length, .tuner = "prompt", .options = {{"length", length}}, .lr = prompt_rate});
  return all;
}

Published printed(const char* method, std::vector<double> values) {
  return {{{"method", method}}, "Li & Liang 2021, Table 4", std::move(values)};
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = e2e_base("smollm2-135m", 160, 50);
  cpu.train.epochs = 2;
  const std::string table = "Li & Liang 2021, Table 4";
  const auto preset = [](const char* name, const char* description, const CellSpec& base, std::vector<Row> methods,
                         int64_t seeds) {
    return StudyPreset{name, description, {base, {method_axis(methods), seed_axis(seeds)}}};
  };
  return study_program(
      argc, argv,
      {.name = "prefix_ablation",
       .title = "Prefix against embeddings (E2E)",
       .paper = kPrefixTuning,
       .about = "A prefix gives each layer keys and values; EMB-n are n embeddings in front of the input.",
       .columns = {{"bleu", "BLEU", 100, 2},
                   {"nist", "NIST", 1, 3},
                   {"meteor", "METEOR", 100, 2},
                   {"rouge_l", "ROUGE-L", 100, 2},
                   {"cider", "CIDEr", 1, 3}},
       .published_setting = "GPT-2 medium, all of E2E",
       .published = {printed("prefix", {69.7, 8.81, 46.1, 71.4, 2.49}),
                     printed("EMB-1", {48.1, 3.33, 32.1, 60.2, 1.10}),
                     printed("EMB-10", {62.2, 6.70, 38.6, 66.4, 1.75}),
                     printed("EMB-20", {61.9, 7.11, 39.3, 65.6, 1.85})},
       .claims = {method_above("prefix", "EMB-10", table), method_above("prefix", "EMB-20", table),
                  method_above("EMB-10", "EMB-1", table)},
       .notes = {"The paper's infix rows are not here. Its embeddings are made by a network, these train themselves."},
       .presets = {preset(kSmokePreset, "a tiny random model", smoke_base(kSmokeDecoder, "e2e"), rows({}, 0, 0), 1),
                   preset("cpu", "smollm2-135m, 160 examples, 50 inputs, 5 seeds", cpu, rows({}, 0.01, 0.02), 5),
                   preset("paper", "GPT-2 medium: for a GPU", e2e_paper_base("openai-community/gpt2-medium"),
                          rows({{"length", "5"}, {"init", "random"}, {"reparametrize", "1"}}, 8e-5, 5e-3), 5)}});
}
