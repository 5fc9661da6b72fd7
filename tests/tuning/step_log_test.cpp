// Steps that the host does not wait for: what is reported of them, and that a bad one among them changes nothing.
#include "tuning/step_log.h"

#include "tests/support/files.h"
#include "tests/support/tuning.h"
#include "tuning/trainer.h"

namespace cambium::testing {
namespace {

const std::vector<int64_t> kLengths = {6, 9, 4, 11, 5, 7, 8, 3, 10, 2};

// Whether the host waits for each step or for several at once: the same numbers in the same order, and nothing is
// evaluated or saved before the steps it follows are reported.
TEST(StepLog, ReportsLaterWithoutAnyDifference) {
  struct Seen : Record {
    Model* model = nullptr;
    Tuner* tuner = nullptr;
    std::vector<std::map<std::string, Tensor>> checkpoints;
    void on_evaluation(int64_t step, double loss, bool best) override {
      EXPECT_EQ(int64_t(steps.size()), step);
      Record::on_evaluation(step, loss, best);
    }
    void on_save(int64_t step, bool last) override {
      EXPECT_EQ(int64_t(steps.size()), step);
      checkpoints.push_back(values_of(*model, *tuner));
      Record::on_save(step, last);
    }
  };
  const auto run_reporting = [](int64_t every) {
    const auto model = golden_model("gpt2");
    const auto tuner = make_tuner("lora", {}, {.model = *model});
    TrainedSet trained(*model, *tuner);
    Trainer trainer(*model, *tuner, trained,
                    {random_batch(model->config(), kLengths), random_batch(model->config(), {5, 9}, 7)},
                    {.lr = 1e-2,
                     .schedule = "cosine",
                     .warmup = "2",
                     .clip = 0.05,
                     .batch_size = 2,
                     .steps = 33,
                     .shards = 2,
                     .dropout = {0.1f, 0.1f, 0.1f, 0.1f},
                     .save_every = 12,
                     .eval_every = 15,
                     .report_every = every});
    Seen seen;
    seen.model = model.get(), seen.tuner = tuner.get();
    trainer.run(seen);
    return seen;
  };
  const Seen each = run_reporting(0);
  ASSERT_EQ(each.steps.size(), 33u);
  EXPECT_EQ(each.saved, (std::vector<int64_t>{12, 24, 33}));
  for (const int64_t every : {3, 100}) {
    const Seen later = run_reporting(every);
    EXPECT_EQ(later.dev, each.dev);
    EXPECT_EQ(later.saved, each.saved);
    ASSERT_EQ(later.steps.size(), each.steps.size());
    for (size_t i = 0; i < each.steps.size(); ++i) {
      const StepReport &a = later.steps[i], &b = each.steps[i];
      EXPECT_EQ(a.step, int64_t(i) + 1);
      EXPECT_TRUE(a.loss == b.loss && a.gradient_norm == b.gradient_norm && a.lr == b.lr && a.tokens == b.tokens)
          << "step " << a.step;
    }
    for (size_t i = 0; i < each.checkpoints.size(); ++i)
      for (const auto& [name, value] : each.checkpoints[i])
        EXPECT_TRUE(same_bits(later.checkpoints[i].at(name), value)) << i << " " << name;
  }
  expect_error<InputError>([&] { run_reporting(-1); }, {"--report-every -1"});
}

// Steps that were under way when a bad one is noticed have changed nothing.
TEST(StepLog, StaysBeforeTheFirstBadStep) {
  struct After {
    Record record;
    std::map<std::string, Tensor> values;
    std::vector<std::pair<std::string, Tensor>> state;
    int64_t updates = 0;
  };
  // The embedding of position 20 is not finite, and only the example of step `bad` is that long.
  const auto run_until = [](const std::string& optimizer, int64_t bad, int64_t steps, int64_t every) {
    const auto model = golden_model("gpt2");
    for (const NamedParameter& p : model->parameters())
      if (p.name.ends_with("position.weight")) p.value().rows(20, 21).data<float>()[0] = INFINITY;
    std::vector<int64_t> lengths(20, 6);
    lengths[size_t(bad - 1)] = 25;
    const auto tuner = make_tuner("lora", {}, {.model = *model});
    TrainedSet trained(*model, *tuner);
    Trainer trainer(*model, *tuner, trained, {random_batch(model->config(), lengths)},
                    {.optimizer = optimizer,
                     .optimizer_options = {.momentum = 0.9},
                     .lr = 1e-2,
                     .batch_size = 1,
                     .steps = steps,
                     .shuffle = false,
                     .report_every = every});
    After after;
    if (steps < bad) trainer.run(after.record);
    else
      expect_error<Error>([&] { trainer.run(after.record); },
                          {text("step ", bad, ":"), "loss is nan", "last checkpoint"});
    after.values = values_of(*model, *tuner);
    for (const auto& [name, tensor] : trainer.optimizer().state()) after.state.emplace_back(name, tensor.clone());
    after.updates = trainer.optimizer().steps;
    return after;
  };
  for (const char* optimizer : {"adamw", "sgd", "adafactor"})
    for (const int64_t bad : {4, 14}) {
      const After before = run_until(optimizer, bad, bad - 1, 1);
      for (const int64_t every : {1, 3, 10}) {
        const After after = run_until(optimizer, bad, 20, every);
        EXPECT_EQ(after.record.losses(), before.record.losses()) << optimizer << " step " << bad << " every " << every;
        EXPECT_EQ(after.updates, bad - 1);
        for (const auto& [name, value] : before.values)
          EXPECT_TRUE(same_bits(after.values.at(name), value)) << optimizer << " " << name;
        ASSERT_EQ(after.state.size(), before.state.size());
        for (size_t i = 0; i < before.state.size(); ++i)
          EXPECT_TRUE(same_bits(after.state[i].second, before.state[i].second)) << before.state[i].first;
      }
    }
}

}  // namespace
}  // namespace cambium::testing
