// The directory of a training run: checkpoints, log, curves and configuration, and how a run continues.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/files.h"
#include "core/json.h"
#include "core/progress.h"
#include "experiments/lib/session.h"
#include "tuning/tensorboard.h"
#include "tuning/trainee.h"

namespace cambium {

struct RunOptions {
  std::string directory;
  bool resume = false, overwrite = false;
  std::string config;  // JSON of everything that the result depends on
  bool progress = true;  // shown; off where several runs go on at once
};

struct Evaluation {
  int64_t step = 0;
  double loss = 0;
};

// RUN holds checkpoint.h5 and checkpoint.previous.h5, from which a run continues; tuner.h5, what is needed to use the
// tuner as checkpoint.h5 has it at the end of a run; best.h5 (the same at the least dev loss) and dev.jsonl (with a dev
// set); config.json, TensorBoard events and log.jsonl.
class RunDirectory : public TrainListener {
 public:
  // Refuses (InputError) a directory that is not empty, unless it is to be continued (and a run) or overwritten, and a
  // configuration that differs from that of the run to continue, naming the field, and a directory in which another
  // process trains. Locks the directory, and changes nothing in it yet.
  explicit RunDirectory(const RunOptions&);

  // The checkpoint to continue from; empty: start anew.
  const std::string& checkpoint() const { return checkpoint_; }
  // When nothing can be refused any more: clears an overwritten run away, writes the configuration, cuts the log.
  void begin(Session&, Tuner&, const TrainedSet&, Trainee&, const TrainingState&);

  // Those of earlier sessions too.
  const std::vector<Evaluation>& evaluations() const { return evaluations_; }

  void on_step(const StepReport&) override;
  void on_evaluation(int64_t step, double dev_loss, bool best) override;
  void on_save(int64_t step, bool last) override;

 private:
  void look();
  void lock();
  void clear() const;
  Golden golden() const;
  void save(const std::string& name, const Golden&, const Optimizer*);
  std::vector<nlohmann::json> cut_log(const std::string& path, int64_t step) const;

  RunOptions options_;
  std::string checkpoint_;
  std::optional<DirectoryLock> lock_;
  Session* session_ = nullptr;
  Tuner* tuner_ = nullptr;
  const TrainedSet* trained_ = nullptr;
  Trainee* trainee_ = nullptr;
  TrainingState state_;
  std::unique_ptr<TensorBoardWriter> events_;
  std::unique_ptr<Progress> progress_;
  std::string log_path_, dev_path_;
  std::vector<Evaluation> evaluations_;
};

}  // namespace cambium
