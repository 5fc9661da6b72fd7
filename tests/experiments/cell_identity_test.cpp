// What tells cells of a table apart: every setting that a result depends on, and nothing else.
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "experiments/lib/table/spec.h"
#include "tests/support/fields.h"
#include "tuning/methods.h"

namespace cambium::testing {
namespace {

CellSpec plain() {
  return {.model = "m", .method = "lora", .tuner = "lora", .task = "t", .dtype = "f32", .device = "cpu"};
}

struct Change {
  const char* what;
  std::function<void(CellSpec&)> make;
  bool other = true;  // whether it is another cell
};

const std::vector<Change> kSpec = {
    {"model", [](auto& s) { s.model = "n"; }},
    {"method", [](auto& s) { s.method = "other"; }},
    {"tuner", [](auto& s) { s.tuner = "full"; }},
    {"options", [](auto& s) { s.options["rank"] = "9"; }},
    {"untrained", [](auto& s) { s.untrained = true; }},
    {"demonstrations", [](auto& s) { s.demonstrations = 9; }},
    {"task", [](auto& s) { s.task = "u"; }},
    {"data", [](auto& s) { s.data = "/elsewhere"; }},
    {"examples", [](auto& s) { s.examples = 9; }},
    {"inputs", [](auto& s) { s.inputs = 9; }},
    {"split", [](auto& s) { s.split = Split::dev; }},
    {"decision", [](auto& s) { s.decision = Decision::words; }},
    {"choosing", [](auto& s) { s.choosing = 9; }},
    {"dev", [](auto& s) { s.dev = 9; }},
    {"train", [](auto& s) { s.train.optimizer_options.beta2 = 0.5; }},
    {"generation", [](auto& s) { s.generation.beams = 9; }},
    {"forbidden", [](auto& s) { s.forbidden = {"\n"}; }},
    {"seed", [](auto& s) { s.seed = 9; }},
    {"dtype", [](auto& s) { s.dtype = "bf16"; }},
    {"device", [](auto& s) { s.device = "gpu"; }},
    {"kernels", [](auto& s) { s.kernels.attention = "cudnn"; }},
    {"start", [](auto& s) { s.start = std::make_shared<CellSpec>(plain()); }},
};
const std::vector<Change> kGeneration = {
    {"max_new_tokens", [](auto& s) { s.generation.max_new_tokens = 9; }},
    {"min_new_tokens", [](auto& s) { s.generation.min_new_tokens = 9; }},
    {"beams", [](auto& s) { s.generation.beams = 9; }},
    {"results", [](auto& s) { s.generation.results = 9; }},
    {"length_penalty", [](auto& s) { s.generation.length_penalty = 0.5; }},
    {"no_repeat_ngram", [](auto& s) { s.generation.no_repeat_ngram = 9; }},
    {"forbidden", [](auto& s) { s.generation.forbidden = {{9}}; }},
    {"eos", [](auto& s) { s.generation.eos = {9}; }},
    {"sample", [](auto& s) { s.generation.sample = true; }},
    {"temperature", [](auto& s) { s.generation.temperature = 0.5; }},
    {"top_p", [](auto& s) { s.generation.top_p = 0.5; }},
    {"top_k", [](auto& s) { s.generation.top_k = 9; }},
    {"seed", [](auto& s) { s.generation.seed = 9; }, false},  // the cell's is taken
    {"batch_size", [](auto& s) { s.generation.batch_size = 9; }, false},
    {"scores", [](auto& s) { s.generation.scores = true; }, false},
};
const std::vector<Change> kRest = {
    // Of the training options tests/tuning/train_options_test.cpp has each.
    {"lr", [](auto& s) { s.train.lr = 0.5; }},
    {"shuffle", [](auto& s) { s.train.shuffle = false; }},
    {"momentum", [](auto& s) { s.train.optimizer_options.momentum = 0.5; }},
    {"train.seed", [](auto& s) { s.train.seed = 9; }, false},  // the cell's is taken
    {"save_every", [](auto& s) { s.train.save_every = 9; }, false},
    {"eval_every", [](auto& s) { s.train.eval_every = 9; }, false},  // nothing is measured
    {"fused_gelu", [](auto& s) { s.kernels.fused_gelu = true; }},
};

TEST(CellIdentity, EachSettingTellsCellsApart) {
  // A field that is new needs a row above, and a place in to_json(CellSpec) if results depend on it.
  EXPECT_EQ(kSpec.size(), field_count<CellSpec>());
  EXPECT_EQ(kGeneration.size(), field_count<GenerationOptions>());
  const std::string name = cell_of(plain()).name();
  EXPECT_EQ(cell_of(plain()).name(), name);
  for (const auto* part : {&kSpec, &kGeneration, &kRest})
    for (const Change& c : *part) {
      CellSpec changed = plain();
      c.make(changed);
      EXPECT_EQ(cell_of(changed).name() != name, c.other) << c.what;
      // Of the cell that this one starts from, too.
      CellSpec later = plain(), other = plain();
      later.start = std::make_shared<CellSpec>(plain()), other.start = std::make_shared<CellSpec>(changed);
      EXPECT_EQ(cell_of(later).name() != cell_of(other).name(), c.other) << c.what;
    }
}

TEST(CellIdentity, WhatMeasuresTheLossTellsCellsApart) {
  CellSpec a = plain(), b = plain();
  a.dev = b.dev = 10;
  b.train.eval_every = 5;
  EXPECT_NE(cell_of(a).name(), cell_of(b).name());
}

// What is not given is there with its default: another default of a later program is another cell.
TEST(CellIdentity, HoldsDefaults) {
  const nlohmann::json j = to_json(plain());
  EXPECT_EQ(j["tuner"]["options"], nlohmann::json(tuner_options("lora", {})));
  EXPECT_EQ(j["tuner"]["options"]["alpha"], "16");
  EXPECT_EQ(j["train"]["lr"], default_learning_rate("lora"));
  EXPECT_EQ(j["train"]["adafactor"]["decay_rate"], 0.8);
  // Saying a default is the same cell as leaving it out.
  CellSpec said = plain();
  said.options = {{"rank", "8"}, {"alpha", "16.0"}, {"targets", "query,value"}};
  said.train.lr = default_learning_rate("lora");
  EXPECT_EQ(cell_of(said).name(), cell_of(plain()).name());
}

// How a cell that trains nothing would be trained says nothing.
TEST(CellIdentity, WithoutTrainingThereIsNone) {
  CellSpec a = plain(), b = plain();
  a.tuner = b.tuner = "";
  b.train.lr = 0.5, b.examples = 9;
  EXPECT_EQ(cell_of(a).name(), cell_of(b).name());
  EXPECT_FALSE(to_json(a).contains("train"));
}

}  // namespace
}  // namespace cambium::testing
