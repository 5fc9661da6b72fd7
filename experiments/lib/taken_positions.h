// How many of a model's positions a tuner takes from what reads an input.
#pragma once

#include "experiments/lib/train_run.h"

namespace cambium {

int64_t taken_positions(const Hooks& tuner, const ModelConfig&);
// Of the tuner that a run will make. Throws InputError for options and checkpoints that no tuner could be made of.
int64_t taken_positions(Session&, const TrainRun&);

}  // namespace cambium
