// One run of the model over the batches of one or several tuners, and the loss of each: what training steps, benchmarks
// and `cambium forward` share.
#pragma once

#include <span>
#include <vector>

#include "tuning/objective.h"

namespace cambium {

// One tuner's share of a pass.
struct StepPart {
  const Objective* objective = nullptr;
  Batch batch;  // as the objective shows it; sequences of one tuner together (by_tuner)
  CrossEntropyConfig config;
};

// The losses of the parts, each a sum of its own over its own rows: with the bits that it has where its part is alone.
std::vector<Model::Loss> losses_of(Model&, Pass&, std::span<const StepPart>);

// Runs the tape backwards from all of them: a part's parameters get the gradient of its own loss.
void run_backward(Tape&, std::span<const Model::Loss>);

}  // namespace cambium
