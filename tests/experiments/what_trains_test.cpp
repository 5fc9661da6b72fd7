// What is said before a run: the memory that it will take, against what the allocator counts while it runs.
#include "experiments/lib/what_trains.h"

#include "core/memory.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

TEST(MemoryForecast, IsWithinATenthOfWhatIsUsed) {
  for (const auto& [base, method, shards] : {std::tuple{"llama_gqa", "lora", 1}, {"llama_gqa", "full", 2}, {"bart", "prefix", 1}}) {
    const auto model = golden_model(base);
    const auto tuner = make_tuner(method, method == std::string("prefix") ? OptionMap{{"init", "random"}} : OptionMap{},
                                  {.model = *model});
    const int64_t length = model->config().max_positions ? 30 : 100;
    const Batch examples = random_batch(model->config(), std::vector<int64_t>(16, length));
    const TrainOptions options{.lr = 1e-4, .batch_size = 8, .steps = 3, .shards = shards};
    TrainedSet trained(*model, *tuner);
    Trainer trainer(*model, *tuner, trained, {.examples = examples}, options);
    const MemoryForecast f = forecast_memory(trainer);
    EXPECT_EQ(f.optimizer, trained.scalars() * 8) << method;  // two moments
    EXPECT_EQ(f.gradients, trained.scalars() * 4) << method;
    Allocator& allocator = Allocator::of(Device::cpu());
    allocator.reset_peak();
    Record record;
    trainer.run(record);
    const double used = double(allocator.counters().peak);
    EXPECT_NEAR(double(f.peak), used, 0.1 * used) << base << " " << method;
  }
}

TEST(WhatTrains, HasALineASite) {
  const auto model = golden_model("gpt2");
  const auto tuner = make_tuner("lora", {{"rank", "2"}}, {.model = *model});
  const TrainedSet trained(*model, *tuner);
  const auto lines = what_trains(model->parameter_count(), trained, {});
  ASSERT_EQ(lines.size(), 6u);  // A and B of query and value, the sum, memory
  EXPECT_NE(lines[0].find("decoder.layers.*.self_attention.query.lora_a"), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("[2,24]"), std::string::npos) << lines[0];
  EXPECT_NE(lines[4].find("384"), std::string::npos) << lines[4];  // 2 layers, 2 products, (24 + 24) times 2
}

}  // namespace
}  // namespace cambium::testing
