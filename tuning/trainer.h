// The one trainer: every tuner, full fine-tuning and pre-training run through this loop, one tuner or many at once.
#pragma once

#include <exception>
#include <span>
#include <vector>

#include "cuda/graph.h"
#include "tuning/trainee.h"

namespace cambium {

enum class TrainEnd { finished, stopped, failed };  // stopped: by a signal, after saving

// How a trainee's run ended, and with which error where it failed.
struct TrainOutcome {
  TrainEnd end = TrainEnd::finished;
  std::exception_ptr error;
};

// Runs what is left of all trainees, each step over the batches of all that have one. What each learns, reports and
// saves is what it would alone, bit for bit, whoever the others are: the base runs once over all sequences, and losses,
// gradients and updates are each trainee's own. Those that drop with random numbers of different seeds or steps take
// their turns. One that fails stops alone; a signal stops all. listeners: one a trainee. Throws InputError where
// several are to train and one changes the base.
//
// Among several workers (Trainee::workers, the same for all trainees) this is collective: each runs its shards, and
// what is learned has the bits of one process. A run that fails at one worker, or a signal that one gets, is all
// workers'.
std::vector<TrainOutcome> train_together(Model&, std::span<Trainee* const>, std::span<TrainListener* const> listeners,
                                         gpu::StepGraphs&);
// The check that it begins with.
void check_together(Model&, std::span<Trainee* const>);

// A trainee by itself.
class Trainer : public Trainee {
 public:
  Trainer(Model& model, Tuner& tuner, TrainedSet& trained, TrainData data, TrainOptions options,
          Communicator& workers = solo())
      : Trainee(model, tuner, trained, std::move(data), std::move(options), workers), graphs_(model.device()) {}

  // Runs what is left. Errors leave the last checkpoint as it is.
  TrainEnd run(TrainListener&);
  const gpu::StepGraphs::Counts& graph_counts() const { return graphs_.counts(); }

 private:
  gpu::StepGraphs graphs_;
};

}  // namespace cambium
