// The one trainer: every tuner, full fine-tuning and pre-training run through this loop.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cuda/graph.h"
#include "tuning/checkpoint.h"
#include "tuning/examples.h"
#include "tuning/objective.h"
#include "tuning/schedule.h"
#include "tuning/step_log.h"
#include "tuning/train_options.h"
#include "tuning/trained_set.h"

namespace cambium {

struct TrainData {
  Examples examples;
  Examples dev = {};  // may be empty
  std::shared_ptr<const Objective> objective = std::make_shared<GivenLabels>();
};

// What a step did, for logs.
struct StepReport {
  int64_t step = 0, steps = 0, tokens = 0;
  double loss = 0;  // mean over the scored tokens, before the update
  double lr = 0, gradient_norm = 0;
  double tokens_per_second = 0;  // over the steps that are reported together
};

class TrainListener {
 public:
  virtual ~TrainListener() = default;
  // For each step, in order; several at once where the host does not wait for each (TrainOptions::report_every).
  virtual void on_step(const StepReport&) {}
  virtual void on_evaluation(int64_t /*step*/, double /*dev_loss*/, bool /*best*/) {}
  // After `step` updates: state is what a checkpoint needs. `last`: nothing follows.
  virtual void on_save(int64_t /*step*/, bool /*last*/) {}
};

enum class TrainEnd { finished, stopped };  // stopped: by a signal, after saving

class Trainer {
 public:
  // Throws InputError where data, model and options do not fit each other.
  Trainer(Model&, Tuner&, TrainedSet&, TrainData, TrainOptions);

  int64_t total_steps() const { return total_steps_; }
  int64_t step() const { return step_; }
  Optimizer& optimizer() { return *optimizer_; }
  const TrainData& data() const { return data_; }
  // The first examples, as the objective shows them.
  Batch first_examples(int64_t count) const;

  // Continues after `step` updates, with the optimizer's state restored by the caller.
  void resume_at(int64_t step);
  // Runs what is left. Errors leave the last checkpoint as it is.
  TrainEnd run(TrainListener&);
  // Mean loss over the dev examples.
  double evaluate();
  const gpu::StepGraphs::Counts& graph_counts() const { return graphs_.counts(); }

  // The least dev loss so far; restored by the caller when a run continues.
  std::optional<double> best_dev;

 private:
  std::vector<int32_t> batch_at(int64_t step);  // numbers of examples
  Batch read_batch(const std::vector<int32_t>& numbers) const;
  void check_values() const;  // of what trains: finite
  bool is_watched() const { return audit_ && audit_->watches(step_); }
  int64_t report_every() const;
  // One step, for whose end nobody waits. Gives the gradients where the step is watched.
  std::vector<Tensor> update(const Batch&);
  // Waits for the steps since the last report. Throws Error for the first that is not finite.
  void report(TrainListener&);
  // Examples as the objective shows them in a round; what is evaluated looks the same every time.
  Batch views(const Batch& examples, int64_t round) const;
  // Of a whole batch, shard by shard; losses [shards].
  std::vector<Tensor> gradients_of(const Batch&, int64_t scored, const Tensor& losses);
  std::vector<Tensor> gradients_of_shard(const Batch&, int64_t scored, const Tensor& loss);

  Model& model_;
  Tuner& tuner_;
  TrainedSet& trained_;
  TrainData data_;
  TrainOptions options_;
  Schedule schedule_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<LivenessAudit> audit_;  // only of runs from step 1
  gpu::StepGraphs graphs_;
  std::optional<StepLog> log_;
  std::vector<StepReport> pending_;  // steps that are not reported yet
  std::chrono::steady_clock::time_point pending_since_;
  std::vector<int32_t> order_;  // of the examples in `epoch_`
  int64_t epoch_ = -1;
  int64_t steps_per_epoch_ = 0, total_steps_ = 0, warmup_ = 0, step_ = 0;
};

}  // namespace cambium
