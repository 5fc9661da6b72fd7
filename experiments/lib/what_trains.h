// What a run is going to train and the memory that it will need, said before its first step.
#pragma once

#include <string>
#include <vector>

#include "tuning/trainee.h"

namespace cambium {

struct MemoryForecast {
  int64_t gradients = 0, optimizer = 0;  // bytes
  int64_t peak = 0;                      // of all tensors together, at once, in the longest step
};
// Takes forward and backward of the longest sequences among the first examples, as many as a shard has, and adds them to
// what is there already.
MemoryForecast forecast_memory(Trainee&);

// A line a kind of site, "decoder.layers.*.self_attention.query.lora_a": shape, how many, scalars, their share of the
// model's; then the sums and the forecast.
std::vector<std::string> what_trains(int64_t parameters_of_model, const TrainedSet&, const MemoryForecast&);

// "decoder.layers.3.x" -> "decoder.layers.*.x"
std::string site_of(std::string name);

}  // namespace cambium
