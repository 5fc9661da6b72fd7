// A whole training run: model, tuner and data come together, the trainer runs, files are written. What `cambium train`
// and the experiments share.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "experiments/lib/run_directory.h"
#include "experiments/lib/tasks/task.h"
#include "tuning/trainer.h"

namespace cambium {

struct TrainRun {
  std::string method;  // of a new tuner
  OptionMap options;
  std::string tuner_from;  // or a checkpoint to start from
  bool force_base = false;
  std::string words;  // for initial values, where options name none
  std::vector<std::string> labels;
  bool describe = false;  // say what trains and what memory that takes, before the first step
  TrainOptions train;
  RunOptions run;
};

struct TrainResult {
  TrainEnd end = TrainEnd::finished;
  int64_t steps = 0, trained_scalars = 0;
  double seconds = 0, tokens = 0, tokens_per_second = 0;  // of this session, as losses
  double last_loss = 0;                                   // of the last step, whichever session it was in; or NaN
  std::vector<double> losses;                             // of each step
  std::vector<Evaluation> dev_losses;                     // of the whole run
  std::unique_ptr<Tuner> tuner;
  std::exception_ptr error;  // of a run that failed
};

// Trains on the session's model. Continues the run in the directory if asked to. Among several workers it is
// collective: each has the same session, run and data, which is checked; worker 0 alone touches the directory.
TrainResult train(Session&, const TrainRun&, TrainData, Communicator& workers = solo());

// The same for several runs at once, in one process: each writes what it would alone. What one throws while it trains
// is its result's error. Throws InputError for what cannot begin, before any directory is touched; name(i) names run i.
std::vector<TrainResult> train_together(Session&, const std::vector<TrainRun>&, std::vector<TrainData>,
                                        const std::function<std::string(size_t)>& name, Communicator& workers = solo());

// The configuration that results depend on, as JSON: what --resume compares.
std::string run_config(const Session&, const TrainRun&, const TrainData&);

}  // namespace cambium
