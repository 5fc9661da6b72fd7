// A trainee: one tuner in training, with all that is its own: what trains of it, its data and their order, options,
// schedule, optimizer, log, audit. Trainees take their steps together (tuning/trainer.h); none knows of the others.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/communicator.h"
#include "tuning/checkpoint.h"
#include "tuning/examples.h"
#include "tuning/gradient_sum.h"
#include "tuning/mixture.h"
#include "tuning/objective.h"
#include "tuning/schedule.h"
#include "tuning/step.h"
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

class Trainee {
 public:
  // workers: who share its shards; each has a trainee like this one, of the same data and options. Throws InputError
  // where data, model, options and workers do not fit each other.
  Trainee(Model&, Tuner&, TrainedSet&, TrainData, TrainOptions, Communicator& workers = solo());

  int64_t total_steps() const { return total_steps_; }
  int64_t step() const { return step_; }
  bool is_done() const { return step_ == total_steps_; }
  Model& model() const { return model_; }
  Tuner& tuner() const { return tuner_; }
  const TrainedSet& trained() const { return trained_; }
  const TrainOptions& options() const { return options_; }
  Optimizer& optimizer() { return *optimizer_; }
  const TrainData& data() const { return data_; }
  Communicator& workers() const { return workers_; }
  // The first examples, as the objective shows them.
  Batch first_examples(int64_t count) const;

  // Continues after `step` updates, with the optimizer's state restored by the caller.
  void resume_at(int64_t step);
  // Mean loss over the dev examples. Collective: each worker takes some of the batches.
  double evaluate();
  // The least dev loss so far; restored by the caller when a run continues.
  std::optional<double> best_dev;

  // Before the first step of a session. frozen: the checksum of what must not change (frozen_checksum). Collective:
  // worker 0's values, optimizer state and step are those of all from then on.
  void begin(uint64_t frozen);
  // One step, for whose end nobody waits, in three calls.
  // 1. Reads its batch; number: that of the tuner in the hooks of the pass.
  void begin_step(int number);
  int64_t sequences() const { return int64_t(batch_.size()); }
  int64_t rows() const;  // of the batch, for graphs
  // 2. Shard s takes the sequences [s n / S, (s + 1) n / S); it may have none. Its gradients, and its loss; for each of
  // this worker's own shards, in order.
  ShardRange own_shards() const { return shards_of(workers_, options_.shards); }
  StepPart shard(int64_t s) const;
  void add_shard(int64_t s, const Model::Loss&, std::vector<Tensor> gradients);
  void skip_shard();
  // 3. Updates the tuner. Collective: sums over the workers.
  void update();
  // What is due after it: reports, the dev loss, checkpoints. `stops`: the run ends here on request. Throws Error for a
  // step that is not finite, and where the audit finds what does not learn; the last checkpoint is as it was then.
  void after_step(TrainListener&, bool stops);

 private:
  void take_from_first();
  Tensor no_losses() const;
  std::vector<int32_t> batch_at(int64_t step);  // numbers of examples
  Batch read_batch(const std::vector<int32_t>& numbers) const;
  void check_values() const;  // of what trains: finite
  bool is_watched() const { return audit_ && audit_->watches(step_); }
  int64_t report_every() const;
  // Waits for the steps since the last report. Throws Error for the first that is not finite.
  void report(TrainListener&);
  void evaluate(TrainListener&);
  // Examples as the objective shows them in a round; what is evaluated looks the same every time.
  Batch views(const Batch& examples, int64_t round) const;

  Model& model_;
  Tuner& tuner_;
  Mixture alone_;  // this tuner's: sequences may be without it
  TrainedSet& trained_;
  TrainData data_;
  TrainOptions options_;
  Communicator& workers_;
  Schedule schedule_;
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<LivenessAudit> audit_;  // only of runs from step 1
  std::optional<StepLog> log_;
  uint64_t frozen_ = 0;
  std::vector<StepReport> pending_;  // steps that are not reported yet
  std::chrono::steady_clock::time_point pending_since_;
  std::vector<int32_t> order_;  // of the examples in `epoch_`
  int64_t epoch_ = -1;
  int64_t steps_per_epoch_ = 0, total_steps_ = 0, warmup_ = 0, step_ = 0;

  // Of the step under way.
  Batch batch_;
  int64_t scored_ = 0;
  Tensor losses_;  // [shards]
  GradientTree tree_;
  std::vector<Tensor> watched_;  // its gradients, where the audit looks at them
};

}  // namespace cambium
