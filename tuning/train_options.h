// What a training run may be told, its limits, and the one form in which it is written down: the configuration of a
// run, the identity of a table's cell, `inspect` and reports all read that.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "models/config.h"
#include "tuning/optimizer.h"

namespace cambium {

struct TrainOptions {
  std::string optimizer = "adamw";
  OptimizerOptions optimizer_options;
  double lr = 0;  // 0: the tuner's own
  std::string schedule = "constant";
  std::string warmup = "0";  // steps, or a share of all: "6%"
  double clip = 1;           // of the gradients' norm; 0: off
  int64_t batch_size = 8, epochs = 3;
  int64_t steps = 0;   // 0: as the epochs say
  int64_t shards = 1;  // a power of two: pieces of a batch, one forward and backward each
  DropoutRates dropout;
  float label_smoothing = 0, z_loss = 0;
  uint64_t seed = 0;
  bool shuffle = true;
  bool recompute = false;
  int64_t save_every = 0;    // steps; 0: only at the end
  int64_t eval_every = 0;    // steps; 0: at the end of each epoch
  int64_t report_every = 0;  // steps after which the host waits for their losses; 0: 1 on the CPU, 10 on a GPU
};

// Throws InputError for counts, rates and names that no run could use.
void check_options(const TrainOptions&);

// Every option under its name. A field that is added to the structs is added here, with the value that older runs had
// as its default; tests/tuning/train_options_test.cpp counts.
nlohmann::json to_json(const TrainOptions&);
// Without those options that change when files are written, how long a run takes and how much memory, but not what is
// learned: recompute, save_every, eval_every, report_every. Other fields stay as they are.
void keep_what_is_learned(nlohmann::json& options);
// The options in a configuration that an older program wrote, as this one writes them: lists get names, and a key that
// did not exist gets the value that it stood for, which is its default. Other fields stay as they are.
void bring_up_to_date(nlohmann::json& options);

}  // namespace cambium
