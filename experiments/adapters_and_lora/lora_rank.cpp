// Tables 6 and 18 of the LoRA paper: the rank.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

StudyPreset preset(const char* name, const char* description, const CellSpec& base, OptionMap options, double lr,
                   const std::vector<std::string>& ranks, int64_t seeds) {
  const Row lora{.name = "lora", .tuner = "lora", .options = std::move(options), .lr = lr};
  return {name,
          description,
          {base, {method_axis({{.name = "zero-shot"}, lora}), option_axis("rank", ranks), seed_axis(seeds)}}};
}

std::vector<Published> printed() {
  std::vector<Published> all;
  for (const auto& [rank, bleu] : std::vector<std::pair<const char*, double>>{{"1", 68.72},
                                                                              {"2", 69.17},
                                                                              {"4", 70.38},
                                                                              {"8", 69.57},
                                                                              {"16", 69.61},
                                                                              {"32", 69.33},
                                                                              {"64", 69.24},
                                                                              {"128", 68.73},
                                                                              {"256", 68.92},
                                                                              {"512", 68.78},
                                                                              {"1024", 69.37}})
    all.push_back({{{"method", "lora"}, {"rank", rank}}, "Hu et al. 2022, Table 18", {bleu}});
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  CellSpec cpu = e2e_base("smollm2-135m", 160, 50), paper = e2e_paper_base("openai-community/gpt2-medium");
  cpu.train.epochs = 2;
  paper.train.batch_size = 8, paper.train.warmup = "500", paper.train.label_smoothing = 0.1f;
  paper.train.optimizer_options.weight_decay = 0.01, paper.train.clip = 0;
  return study_program(
      argc, argv,
      {.name = "lora_rank",
       .title = "The rank of LoRA (E2E)",
       .paper = kLoraPaper,
       .about = "LoRA on query and value with growing ranks, alpha fixed: a small rank is enough.",
       .columns = {{"bleu", "BLEU", 100, 2}, {"last_loss", "loss at the end", 1, 3, false, ScoreColumn::Better::lower}},
       .published_setting = "GPT-2 medium, all of E2E",
       .published = printed(),
       .claims = {above({{"method", "lora"}, {"rank", "4"}}, {{"method", "lora"}, {"rank", "1"}},
                        "Hu et al. 2022, Table 18"),
                  above({{"method", "lora"}, {"rank", "4"}}, {{"method", "lora"}, {"rank", "64"}},
                        "Hu et al. 2022, Table 18")},
       .presets = {preset(kSmokePreset, "a tiny random model", smoke_base(kSmokeDecoder, "e2e"), {}, 0, {"1", "4"}, 1),
                   preset("cpu", "smollm2-135m, 160 examples, 50 inputs, 5 seeds", cpu, {}, 2e-3,
                          {"1", "2", "4", "8", "16", "64"}, 5),
                   preset("paper", "GPT-2 medium: for a GPU", paper, {{"alpha", "32"}, {"dropout", "0.1"}}, 2e-4,
                          {"1", "2", "4", "8", "16", "32", "64", "128", "256", "512", "1024"}, 5)},
       .pictures = {{.kind = Picture::Kind::curve, .rows = "rank", .columns = "method", .log_x = true}}});
}
