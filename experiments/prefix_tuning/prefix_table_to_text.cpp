// Table 1 of the prefix-tuning paper, its E2E columns: restaurant descriptions from meaning representations.
#include "experiments/lib/table/bases.h"
#include "experiments/lib/table/study.h"

using namespace cambium;

namespace {

// Their script sets --clip 0.0.
void as_hu_et_al(TrainOptions& t) {
  t.optimizer_options.weight_decay = 0.01, t.warmup = "500", t.label_smoothing = 0.1f, t.clip = 0;
}

// GPT-2's own dropout, with which Li & Liang train all rows but prefixes.
void with_gpt2s_dropout(TrainOptions& t) { t.dropout = {0.1f, 0.1f, 0.1f, 0}; }

// Li & Liang, Table 5: learning rate, epochs, batch; those of adapters are for Lin et al.'s adapter of 3 %, the adapter
// here is Houlsby et al.'s, of the size that Hu et al. measured (GPT-2 medium: 112 wide). LoRA: Hu et al.
const std::vector<Row> kPaperMethods = {
    {.name = "zero-shot"},
    {.name = "few-shot", .demonstrations = 5},
    {.name = "prompt",
     .tuner = "prompt",
     .options = {{"length", "20"}, {"init", "text"}},
     .lr = 5e-3,
     .epochs = 5,
     .batch_size = 10},
    {.name = "prefix",
     .tuner = "prefix",
     .options = {{"length", "5"}, {"init", "random"}, {"reparametrize", "1"}, {"hidden", "512"}},
     .lr = 8e-5,
     .epochs = 5,
     .batch_size = 10},
    {.name = "adapter",
     .tuner = "adapter",
     .options = {{"bottleneck", "112"}},
     .lr = 5e-5,
     .epochs = 5,
     .batch_size = 5,
     .adjust = with_gpt2s_dropout},
    {.name = "lora",
     .tuner = "lora",
     .options = {{"rank", "4"}, {"alpha", "32"}, {"dropout", "0.1"}},
     .lr = 2e-4,
     .epochs = 5,
     .batch_size = 8,
     .adjust = as_hu_et_al},
    {.name = "top_layers",
     .tuner = "top_layers",
     .lr = 5e-5,
     .epochs = 5,
     .batch_size = 10,
     .adjust = with_gpt2s_dropout},
    {.name = "full", .tuner = "full", .lr = 5e-5, .epochs = 5, .batch_size = 10, .adjust = with_gpt2s_dropout},
};

CellSpec base(const std::string& model, int64_t examples, int64_t inputs) {
  CellSpec b = e2e_base(model, examples, inputs);
  b.train.batch_size = TrainOptions().batch_size;
  return b;
}

StudyPreset smoke_preset() {
  CellSpec b = base(kSmokeDecoder, 16, 6);
  b.train.epochs = 1, b.generation = {.max_new_tokens = 12, .batch_size = 25};
  return {kSmokePreset,
          "all methods on a tiny random model, in seconds: does everything work?",
          {b, {method_axis(without_extra(all_methods())), seed_axis(1)}}};
}

// Where a prompt starts that has few steps: a made-up example of the job with all of its attributes, instead of the
// job's name. 79 tokens of SmolLM2.
const std::string kDemonstration =
    "name : The Mill | eatType : pub | food : French | priceRange : cheap | customer rating : 5 out of 5 | area : "
    "riverside | familyFriendly : yes | near : The Bridge || The Mill is a cheap, family friendly pub near The Bridge "
    "by "
    "the riverside. It serves French food and has a customer rating of 5 out of 5.\n";

// Rates for about a hundred steps: those of the tuners themselves are made for more. Chosen on inputs of dev, never on
// those of test (docs/performance.md has what was tried).
std::vector<Row> quickstart_methods() {
  std::vector<Row> methods = all_methods();
  for (Row& m : methods)
    if (m.name == "prompt") m.options = {{"length", "79"}, {"init", "text"}, {"text", kDemonstration}}, m.lr = 0.02;
    else if (m.name == "prefix") m.lr = 0.01;
    else if (m.name == "adapter" || m.name == "lora") m.lr = 2e-3;
  return methods;
}

StudyPreset quickstart_preset() {
  CellSpec b = base("smollm2-135m", 160, 50);
  b.train.epochs = 2, b.train.batch_size = 4;
  return {
      "quickstart",
      "smollm2-135m, 160 examples, 2 epochs, the first 50 inputs, greedy: a first table",
      {b, {method_axis(quickstart_methods()), seed_axis(1)}},
      {"Rates were chosen on inputs of dev, with one seed. The prompt starts from the words of one made-up example."}};
}

StudyPreset cpu_preset() {
  return {"cpu",
          "smollm2-135m, 500 examples, 3 epochs, the first 100 inputs, greedy: more of the same",
          {base("smollm2-135m", 500, 100), {method_axis(all_methods()), seed_axis(1)}}};
}

// Decoded in the paper's way: beam 5, at least 5 tokens, no line ends.
StudyPreset paper_preset() {
  CellSpec b = base("openai-community/gpt2-medium", 0, 0);
  b.train.save_every = 1000;
  decode_as_li_and_liang(b);
  return {
      "paper",
      "the paper's protocol on GPT-2 medium (--model openai-community/gpt2-large: large), 5 seeds: for a GPU",
      {b, {method_axis(kPaperMethods), seed_axis(5)}},
      {"prompt: Li & Liang make its embeddings by a network that trains; here they train themselves, start from the "
       "task's words, and rate, epochs and batch are ours.",
       "adapter: rate, epochs and batch are those of Li & Liang for an adapter of another kind and the same size.",
       "All rows are decoded as Li & Liang do it; Hu et al. use beam 10, length penalty 0.9 and no repeated 4-grams "
       "for "
       "LoRA.",
       "The loss is the mean over a batch's tokens; Li & Liang sum over the tokens of each sentence.",
       "Slots have the challenge's names (eatType, familyFriendly); Li & Liang and Hu et al. rename them (Type, family "
       "friendly) and put a beginning-of-text token between input and target."}};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string table1 = "Li & Liang 2021, Table 1", table4 = "Li & Liang 2021, Table 4",
                    lora3 = "Hu et al. 2022, Table 3";
  return study_program(
      argc, argv,
      {
          .name = "prefix_table_to_text",
          .title = "Table-to-text generation (E2E)",
          .paper = kPrefixTuning,
          .about = "A frozen language model learns to describe a restaurant from its attributes. Each row tunes it in "
                   "another way; zero-shot is the model as it is. "
                   "Scores are those of the E2E challenge's script.",
          .columns = {{"bleu", "BLEU", 100, 2},
                      {"nist", "NIST", 1, 3},
                      {"meteor", "METEOR", 100, 2},
                      {"rouge_l", "ROUGE-L", 100, 2},
                      {"cider", "CIDEr", 1, 3},
                      {.score = "cased_bleu", .title = "BLEU, cased", .scale = 100, .in_papers = false}},
          .published_setting = "GPT-2 medium, all of E2E",
          .published = {{.at = {{"method", "prompt"}},
                         .source = table4,
                         .values = {61.9, 7.11, 39.3, 65.6, 1.85},
                         .setting = "EMB-20, embeddings made by a network",
                         .options = {{"length", "20"}}},
                        {.at = {{"method", "prefix"}},
                         .source = table1 + ", 0.1 %",
                         .values = {69.7, 8.81, 46.1, 71.4, 2.49},
                         .setting = "length 5, through a network",
                         .options = {{"length", "5"}, {"reparametrize", "1"}}},
                        {.at = {{"method", "adapter"}},
                         .source = lora3 + ", Adapter^H",
                         .values = {67.3, 8.50, 46.0, 70.7, 2.44},
                         .setting = "Houlsby's, 11.09 M",
                         .options = {{"bottleneck", "112"}, {"kind", "houlsby"}}},
                        {.at = {{"method", "lora"}},
                         .source = lora3,
                         .values = {70.4, 8.85, 46.8, 71.8, 2.53},
                         .setting = "rank 4",
                         .options = {{"rank", "4"}, {"alpha", "32"}, {"dropout", "0.1"}}},
                        {.at = {{"method", "top_layers"}},
                         .source = table1,
                         .values = {68.1, 8.59, 46.0, 70.8, 2.41},
                         .setting = "two layers",
                         .options = {{"layers", "2"}}},
                        {{{"method", "full"}}, table1, {68.2, 8.62, 46.2, 71.0, 2.47}}},
          .claims = {method_above("prefix", "adapter", lora3), method_above("prefix", "full", table1),
                     method_above("prefix", "top_layers", table1), method_above("prefix", "prompt", table4),
                     method_above("lora", "prefix", lora3)},
          .notes = {"BLEU is the challenge's, of lower-cased words; BLEU, cased is sacrebleu's, which PyTorch projects "
                    "print.",
                    "METEOR is version 1.5 with that part of its paraphrase table which concerns E2E "
                    "(experiments/data/meteor/README.md)."},
          .presets = {smoke_preset(), quickstart_preset(), cpu_preset(), paper_preset()},
      });
}
