// Several LoRAs of one base as one.
#pragma once

#include <string>
#include <vector>

#include "tuning/tuner.h"

namespace cambium {

struct JoinOptions {
  // With A_i, B_i and scales s_i of the parts, w_i their weights, as PEFT's add_weighted_adapter has them:
  //   average  A = sum sign(w_i) sqrt(|w_i| s_i) A_i, B = sum sqrt(|w_i| s_i) B_i: cheap, and with several parts not the
  //            sum of what they do (PEFT: linear)
  //   cat      A's and B's beside each other: exactly sum w_i s_i B_i A_i, of the sum of the ranks
  //   svd      the best approximation of that sum of the largest rank among the parts
  //   ties     of each A_i and B_i the `density` largest numbers alone, then of each place the mean of those with the sign of
  //            the sum (Yadav et al. 2023)
  //   dare     each number of A_i and B_i is kept with probability `density` and divided by it, then as average
  //            (Yu et al. 2024)
  std::string how = "average";
  std::vector<double> weights;  // empty: 1 / number of parts each
  double density = 0.5;
  uint64_t seed = 0;  // of dare
};

// A new lora on `model`, of scale 1. A module that only some of the parts adapt is theirs alone. Throws InputError, naming
// the part by `names`, for tuners that are no lora, numbers of weights, ranks that differ (of average, ties and dare).
std::unique_ptr<Tuner> join(const std::vector<Tuner*>& parts, const std::vector<std::string>& names, Model& model,
                            const JoinOptions&);

std::vector<std::string> join_methods();

}  // namespace cambium
