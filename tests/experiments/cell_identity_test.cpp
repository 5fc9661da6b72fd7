// What tells cells of a table apart: every setting that a result depends on, and nothing else.
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "experiments/lib/table/tuning_cell.h"
#include "tests/support/fields.h"
#include "tuning/methods.h"
#include "tuning/options.h"

namespace cambium::testing {
namespace {

// A cell with everything that its identity is made of.
struct Described {
  TuningSetting setting{.preset = {.name = "p", .model = "m", .tasks = {"t"}},
                        .common = {.device = "cpu", .dtype = "f32"}};
  TuningMethod method{.name = "lora", .tuner = "lora"};
  std::string task = "t";
  uint64_t seed = 0;

  std::string name() const { return Cell{"m", "lora", "t", 0, setting.describe("e", method, task, seed)}.name(); }
};

struct Change {
  const char* what;
  std::function<void(Described&)> make;
  bool other = true;  // whether it is another cell
};

const std::vector<Change> kPreset = {
    {"name", [](auto& d) { d.setting.preset.name = "q"; }},
    {"description", [](auto& d) { d.setting.preset.description = "words"; }, false},
    {"model", [](auto& d) { d.setting.preset.model = "n"; }},
    {"tasks",
     [](auto& d) {
       d.setting.preset.tasks = {"t", "u"};
     },
     false},  // the cell's is given
    {"methods", [](auto& d) { d.setting.preset.methods = {d.method}; }, false},
    {"examples", [](auto& d) { d.setting.preset.examples = 9; }},
    {"inputs", [](auto& d) { d.setting.preset.inputs = 9; }},
    {"split", [](auto& d) { d.setting.preset.split = Split::dev; }},
    {"decision", [](auto& d) { d.setting.preset.decision = Decision::words; }},
    {"train", [](auto& d) { d.setting.preset.train.optimizer_options.beta2 = 0.5; }},
    {"generation", [](auto& d) { d.setting.preset.generation.beams = 9; }},
    {"forbidden", [](auto& d) { d.setting.preset.forbidden = {"\n"}; }},
    {"seeds", [](auto& d) { d.setting.preset.seeds = 9; }, false},
    {"notes", [](auto& d) { d.setting.preset.notes = {"words"}; }, false},
};
const std::vector<Change> kGeneration = {
    {"max_new_tokens", [](auto& d) { d.setting.preset.generation.max_new_tokens = 9; }},
    {"min_new_tokens", [](auto& d) { d.setting.preset.generation.min_new_tokens = 9; }},
    {"beams", [](auto& d) { d.setting.preset.generation.beams = 9; }},
    {"results", [](auto& d) { d.setting.preset.generation.results = 9; }},
    {"length_penalty", [](auto& d) { d.setting.preset.generation.length_penalty = 0.5; }},
    {"no_repeat_ngram", [](auto& d) { d.setting.preset.generation.no_repeat_ngram = 9; }},
    {"forbidden", [](auto& d) { d.setting.preset.generation.forbidden = {{9}}; }},
    {"eos", [](auto& d) { d.setting.preset.generation.eos = {9}; }},
    {"sample", [](auto& d) { d.setting.preset.generation.sample = true; }},
    {"temperature", [](auto& d) { d.setting.preset.generation.temperature = 0.5; }},
    {"top_p", [](auto& d) { d.setting.preset.generation.top_p = 0.5; }},
    {"top_k", [](auto& d) { d.setting.preset.generation.top_k = 9; }},
    {"seed", [](auto& d) { d.setting.preset.generation.seed = 9; }, false},  // the cell's is taken
    {"batch_size", [](auto& d) { d.setting.preset.generation.batch_size = 9; }, false},
    {"scores", [](auto& d) { d.setting.preset.generation.scores = true; }, false},
};
const std::vector<Change> kMethod = {
    {"name", [](auto& d) { d.method.name = "other"; }},
    {"tuner", [](auto& d) { d.method.tuner = "full"; }},
    {"options",
     [](auto& d) {
       d.method.options = {{"rank", "9"}};
     }},
    {"demonstrations", [](auto& d) { d.method.demonstrations = 9; }},
    {"lr", [](auto& d) { d.method.lr = 0.5; }},
    {"epochs", [](auto& d) { d.method.epochs = 9; }},
    {"batch_size", [](auto& d) { d.method.batch_size = 9; }},
    {"adjust", [](auto& d) { d.method.adjust = [](TrainOptions& t) { t.z_loss = 1e-4f; }; }},
    {"extra", [](auto& d) { d.method.extra = true; }, false},
};
const std::vector<Change> kRest = {
    {"task", [](auto& d) { d.task = "u"; }},
    {"seed", [](auto& d) { d.seed = 9; }},
    {"data", [](auto& d) { d.setting.data = "/elsewhere"; }},
    {"dtype", [](auto& d) { d.setting.common.dtype = "bf16"; }},
    {"threads", [](auto& d) { d.setting.common.threads = 9; }, false},
    // Of the training options tests/tuning/train_options_test.cpp has each.
    {"shuffle", [](auto& d) { d.setting.preset.train.shuffle = false; }},
    {"momentum", [](auto& d) { d.setting.preset.train.optimizer_options.momentum = 0.5; }},
    {"factor_min_dim", [](auto& d) { d.setting.preset.train.optimizer_options.factor_min_dim = 9; }},
    {"save_every", [](auto& d) { d.setting.preset.train.save_every = 9; }, false},
    {"report_every", [](auto& d) { d.setting.preset.train.report_every = 9; }, false},
};

TEST(CellIdentity, EachSettingTellsCellsApart) {
  // A field that is new needs a row above, and a place in TuningSetting::describe if results depend on it.
  EXPECT_EQ(kPreset.size(), field_count<TuningPreset>());
  EXPECT_EQ(kGeneration.size(), field_count<GenerationOptions>());
  EXPECT_EQ(kMethod.size(), field_count<TuningMethod>());
  const std::string plain = Described().name();
  EXPECT_EQ(Described().name(), plain);
  for (const auto* part : {&kPreset, &kGeneration, &kMethod, &kRest})
    for (const Change& c : *part) {
      Described changed;
      c.make(changed);
      EXPECT_EQ(changed.name() != plain, c.other) << c.what;
    }
}

// What is not given is there with its default: another default of a later program is another cell.
TEST(CellIdentity, HoldsDefaults) {
  const nlohmann::json j = nlohmann::json::parse(Described().setting.describe("e", Described().method, "t", 0));
  EXPECT_EQ(j["tuner"]["options"], nlohmann::json(tuner_options("lora", {})));
  EXPECT_EQ(j["tuner"]["options"]["alpha"], "16");
  EXPECT_EQ(j["train"]["lr"], default_learning_rate("lora"));
  EXPECT_EQ(j["train"]["adafactor"]["decay_rate"], 0.8);
  // Saying a default is the same cell as leaving it out.
  Described said;
  said.method.options = {{"rank", "8"}, {"alpha", "16.0"}, {"targets", "query,value"}};
  said.method.lr = default_learning_rate("lora");
  EXPECT_EQ(said.name(), Described().name());
}

}  // namespace
}  // namespace cambium::testing
