// How long a training step and decoding take: for `cambium bench` and for forecasts of a table's time.
#pragma once

#include <vector>

#include "models/generation.h"
#include "tuning/objective.h"
#include "tuning/tuner.h"

namespace cambium {

// Token ids that are random numbers of (seed, index).
std::vector<int32_t> random_tokens(int64_t count, int64_t vocabulary, uint64_t seed, int64_t index);

// Seconds of each run behind the first `warm_up`: by the clock, and of the processors for all of this process's
// threads, which tells more on a machine that other work shares.
struct Times {
  std::vector<double> clock, processor;
};

// Whole training steps (forward, backward, AdamW) on one batch, each waited for.
Times time_training_steps(Model&, Tuner&, const Batch&, const Objective&, int64_t warm_up, int64_t steps,
                          uint64_t seed);

// Greedy decoding of all prompts in one batch, `new_tokens` each.
Times time_decoding(Model&, Hooks&, const std::vector<std::vector<int32_t>>& prompts, int64_t new_tokens,
                    int64_t warm_up, int64_t times);

}  // namespace cambium
