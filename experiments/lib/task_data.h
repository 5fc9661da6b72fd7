// A task as a model takes it, whatever kind the task is: training examples with their objective, and answers with
// scores.
#pragma once

#include "experiments/lib/classification.h"
#include "experiments/lib/evaluation.h"
#include "experiments/lib/tasks/task.h"
#include "tuning/trainer.h"

namespace cambium {

struct DataSelection {
  Decision decision = Decision::automatic;  // of classification; other tasks know no other
  int64_t limit = 0;                        // training examples, drawn by the seed; 0: all
  uint64_t seed = 0;                        // of a new classification head too
  int64_t dev = 0;                          // examples for the loss on the dev split; 0: none
  std::function<int64_t()> taken = {};      // positions that the tuner will take; see ClassificationSetup
};

// A classification head that the model lacks is added to it.
TrainData train_data_of(Session&, const Task&, const DataSelection&);

// What would stop evaluate_task whatever a tuner learns is said before it is trained: inputs that are not there or too
// long, and a metric without its data. `hooks`: a tuner like the one that will be trained.
void check_evaluation(Session&, const Hooks&, const Task&, Decision, Split, int64_t limit, const GenerationOptions&);

// limit: the first so many inputs of the split; 0: all. Of `generation` classification reads the batch size alone.
// Demonstrations are for models that write: an encoder that chooses by a head or a mask has no place for them
// (InputError).
EvaluationResult evaluate_task(Session&, Hooks&, const Task&, Decision, Split, int64_t limit, const GenerationOptions&,
                               const Demonstrations& = {});

}  // namespace cambium
