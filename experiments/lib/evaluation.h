// Evaluating a model on a task: outputs for its inputs, and their scores.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "experiments/lib/demonstrations.h"
#include "experiments/lib/session.h"
#include "experiments/lib/tasks/fit.h"
#include "experiments/lib/tasks/scores.h"

namespace cambium {

struct EvaluationResult {
  std::vector<std::pair<std::string, double>> scores;  // as metrics::score names and scales them
  std::vector<std::string> inputs, outputs;
  std::vector<std::vector<std::string>> references;
  int64_t new_tokens = 0;
  double seconds = 0;                 // of decoding alone
  int64_t fewest_demonstrations = 0;  // that an input had in front of it

  double score(const std::string& name) const;
};

// limit: the first so many inputs; 0: all. Behind demonstrations, each of which is a line, an output ends with its
// line, too.
EvaluationResult evaluate(Session&, Hooks&, const Task&, Split, int64_t limit, const GenerationOptions&,
                          const Demonstrations& = {});

}  // namespace cambium
