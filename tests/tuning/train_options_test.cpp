// The one written form of training options: no field is left out, and configurations of older programs are read.
#include "tuning/train_options.h"

#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/support/fields.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

struct Field {
  const char* name;
  std::function<void(TrainOptions&)> change;
  bool learned = true;  // whether what is learned depends on it
};

const std::vector<Field> kRun = {
    {"optimizer", [](auto& o) { o.optimizer = "sgd"; }},
    {"lr", [](auto& o) { o.lr = 0.5; }},
    {"schedule", [](auto& o) { o.schedule = "linear"; }},
    {"warmup", [](auto& o) { o.warmup = "6%"; }},
    {"clip", [](auto& o) { o.clip = 0; }},
    {"batch_size", [](auto& o) { o.batch_size = 9; }},
    {"epochs", [](auto& o) { o.epochs = 9; }},
    {"steps", [](auto& o) { o.steps = 9; }},
    {"shards", [](auto& o) { o.shards = 2; }},
    {"label_smoothing", [](auto& o) { o.label_smoothing = 0.1f; }},
    {"z_loss", [](auto& o) { o.z_loss = 1e-4f; }},
    {"seed", [](auto& o) { o.seed = 9; }},
    {"shuffle", [](auto& o) { o.shuffle = false; }},
    {"recompute", [](auto& o) { o.recompute = true; }, false},
    {"save_every", [](auto& o) { o.save_every = 9; }, false},
    {"eval_every", [](auto& o) { o.eval_every = 9; }, false},
    {"report_every", [](auto& o) { o.report_every = 9; }, false},
};
const std::vector<Field> kOptimizer = {
    {"beta1", [](auto& o) { o.optimizer_options.beta1 = 0.5; }},
    {"beta2", [](auto& o) { o.optimizer_options.beta2 = 0.5; }},
    {"epsilon", [](auto& o) { o.optimizer_options.epsilon = 1e-6; }},
    {"weight_decay", [](auto& o) { o.optimizer_options.weight_decay = 0.1; }},
    {"momentum", [](auto& o) { o.optimizer_options.momentum = 0.9; }},
    {"no_decay",
     [](auto& o) {
       o.optimizer_options.no_decay = {"bias", "norm"};
     }},
    {"lr_factors",
     [](auto& o) {
       o.optimizer_options.rate_factors = {{"lora_b", 16}};
     }},
    {"adafactor/decay_rate", [](auto& o) { o.optimizer_options.decay_rate = 0.5; }},
    {"adafactor/clip", [](auto& o) { o.optimizer_options.clip = 0.5; }},
    {"adafactor/epsilon1", [](auto& o) { o.optimizer_options.epsilon1 = 1e-20; }},
    {"adafactor/epsilon2", [](auto& o) { o.optimizer_options.epsilon2 = 1e-2; }},
    {"adafactor/initial_step", [](auto& o) { o.optimizer_options.initial_step = 100; }},
    {"adafactor/factor_min_dim", [](auto& o) { o.optimizer_options.factor_min_dim = 64; }},
    {"adafactor/scale_by_parameter", [](auto& o) { o.optimizer_options.scale_by_parameter = true; }},
    {"adafactor/decay_times_lr", [](auto& o) { o.optimizer_options.decay_times_lr = true; }},
};
const std::vector<Field> kDropout = {
    {"dropout/embedding", [](auto& o) { o.dropout.embedding = 0.1f; }},
    {"dropout/attention", [](auto& o) { o.dropout.attention = 0.1f; }},
    {"dropout/residual", [](auto& o) { o.dropout.residual = 0.1f; }},
    {"dropout/activation", [](auto& o) { o.dropout.activation = 0.1f; }},
};

TEST(TrainOptions, EachFieldIsWrittenUnderItsName) {
  // A field that is new needs a row above, a name in to_json, and the value that older runs had as its default.
  EXPECT_EQ(kRun.size(), field_count<TrainOptions>() - 2) << "two are structs, with rows of their own";
  EXPECT_EQ(kOptimizer.size(), field_count<OptimizerOptions>());
  EXPECT_EQ(kDropout.size(), field_count<DropoutRates>());
  const json plain = to_json(TrainOptions());
  json plain_learned = plain;
  keep_what_is_learned(plain_learned);
  std::set<std::string> seen;
  for (const auto* part : {&kRun, &kOptimizer, &kDropout})
    for (const Field& f : *part) {
      TrainOptions changed;
      f.change(changed);
      const json all = to_json(changed);
      ASSERT_EQ(json::diff(plain, all).size(), 1u) << f.name;
      EXPECT_EQ(json::diff(plain, all).at(0).at("path"), std::string("/") + f.name);
      EXPECT_TRUE(seen.insert(all.dump()).second) << f.name;
      json learned = all;
      keep_what_is_learned(learned);
      EXPECT_EQ(learned != plain_learned, f.learned) << f.name;
    }
  EXPECT_EQ(plain.flatten().size(), seen.size()) << "to_json writes something that is no field";
}

// As the programs up to version 0.1.0 of November 2026 wrote it: lists without names.
TEST(TrainOptions, OlderConfigurationsAreReadAsWhatTheyStoodFor) {
  const json old = json::parse(R"({"adafactor": [0.8, 1.0, 1e-30, 0.001, 0, 128, false, false], "base_hash": "x",
      "batch_size": 8, "beta1": 0.9, "beta2": 0.999, "clip": 1.0, "dropout": [0.0, 0.0, 0.0, 0.0], "epochs": 3,
      "epsilon": 1e-08, "label_smoothing": 0.0, "lr": 0.0, "momentum": 0.0, "optimizer": "adamw",
      "schedule": "constant", "seed": 0, "shards": 1, "shuffle": true, "steps": 0, "warmup": "0", "weight_decay": 0.0,
      "z_loss": 0.0})");
  json now = to_json(TrainOptions());
  now["base_hash"] = "x";
  json read = old;
  bring_up_to_date(read);
  EXPECT_EQ(read, now);
  // Values that were given stay, and those of lists come under their names.
  json given = old;
  given["beta1"] = 0.5, given["dropout"][2] = 0.25, given["adafactor"][4] = 7, given["adafactor"][7] = true;
  bring_up_to_date(given);
  EXPECT_EQ(given["beta1"], 0.5);
  EXPECT_EQ(given["dropout"]["residual"], 0.25);
  EXPECT_EQ(given["adafactor"]["initial_step"], 7);
  EXPECT_EQ(given["adafactor"]["decay_times_lr"], true);
  // What did not exist yet stands for the default of then.
  json older = old;
  for (const char* name : {"z_loss", "shuffle", "momentum", "adafactor"}) older.erase(name);
  bring_up_to_date(older);
  EXPECT_EQ(older, now);
}

}  // namespace
}  // namespace cambium::testing
