// Table 5 of the LoRA paper: which matrices, at one number of parameters.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

std::vector<Row> rows(double lr) {
  std::vector<Row> all = {{.name = "zero-shot"}};
  for (const auto& [name, targets, rank] :
       std::vector<std::tuple<const char*, const char*, const char*>>{{"q", "query", "8"},
                                                                      {"k", "key", "8"},
                                                                      {"v", "value", "8"},
                                                                      {"o", "output", "8"},
                                                                      {"qk", "query,key", "4"},
                                                                      {"qv", "query,value", "4"},
                                                                      {"qkvo", "query,key,value,output", "2"}})
    all.push_back(
        {.name = name, .tuner = "lora", .options = {{"targets", targets}, {"rank", rank}, {"alpha", rank}}, .lr = lr});
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = e2e_base("smollm2-135m", 160, 50);
  cpu.train.epochs = 2;
  const std::string table = "Hu et al. 2022, Table 5 (GPT-3 on WikiSQL and MNLI)";
  const auto preset = [](const char* name, const char* description, const CellSpec& base, double lr, int64_t seeds) {
    return StudyPreset{name, description, {base, {method_axis(rows(lr)), seed_axis(seeds)}}};
  };
  return study_program(
      argc, argv,
      {.name = "lora_weight_types",
       .title = "Which matrices LoRA adapts (E2E)",
       .paper = kLoraPaper,
       .about = "Ranks are such that matrices of one size have equal numbers of parameters; alpha is the rank.",
       .columns = {{"bleu", "BLEU", 100, 2}, {"rouge_l", "ROUGE-L", 100, 2}},
       .claims = {method_above("qv", "q", table), method_above("qv", "k", table), method_above("qkvo", "q", table),
                  method_above("qv", "qk", table)},
       .notes = {"With grouped keys and values (Llama's form) k and v are smaller matrices: the column of trained "
                 "parameters "
                 "says by how much."},
       .presets = {preset(kSmokePreset, "a tiny random model", smoke_base(kSmokeDecoder, "e2e"), 0, 1),
                   preset("cpu", "smollm2-135m, 160 examples, 50 inputs, 5 seeds", cpu, 2e-3, 5),
                   preset("paper", "GPT-2 medium on E2E, the paper's is GPT-3: for a GPU",
                          e2e_paper_base("openai-community/gpt2-medium"), 2e-4, 5)}});
}
