// Checkpoints: what a tuner learned, and all that continuing needs, in an HDF5 file that standard tools open.
//
//   /tuner/<name>        the tuner's parameters, dots of names as slashes
//   /base/<name>         base parameters that train (all of them where self-contained)
//   /optimizer/<name>/.. its state
//   /state               attributes: step, seed, ...
//   /golden              a few short sequences and their logits: what the file should compute
//   attributes of /      format_version, software_version, method, options, model family and sizes, base_hash, ...
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tuning/trained_set.h"

namespace cambium {

inline constexpr int64_t kCheckpointVersion = 1;

// What identifies the base that a tuner belongs to.
struct BaseIdentity {
  std::string source;  // the model argument it was made with
  std::string hash;    // models/load.h; empty: unknown (random weights)
  std::string config;  // to_json(ModelConfig)
  std::string dtype;   // of the frozen base: "f32" or "bf16"
};

struct TrainingState {
  int64_t step = 0, steps = 0, shards = 1;
  uint64_t seed = 0;
  std::string run_config;       // JSON of everything that training depends on
  std::string instruction_set;  // what the bits are promised for
  std::optional<double> best_dev;
};

// Sequences of at most 16 tokens with the logits that base and tuner give in float32 arithmetic; of a classification
// head its scores.
struct Golden {
  Batch sequences;
  std::vector<Tensor> logits;  // [tokens, vocabulary], or hidden rows [tokens, width] without a head
};
Golden compute_golden(Model&, Tuner&, const std::vector<Sequence>& examples);
// The largest difference between stored and computed logits.
double golden_difference(Model&, Tuner&, const Golden&);

void save_checkpoint(const std::string& path, Tuner&, const TrainedSet&, const Optimizer*, const TrainingState&,
                     const BaseIdentity&, const Golden&);

// What a file says of itself; reading it needs no model.
struct CheckpointInfo {
  std::string path, method;
  OptionMap options;
  BaseIdentity base;
  TrainingState state;
  std::string software_version;
  int64_t format_version = 0;
  double effective_scale = 1;
  std::map<std::string, Shape> tuner, trained_base;  // names and shapes
  bool has_optimizer = false;
};
CheckpointInfo read_checkpoint_info(const std::string& path);
Golden read_golden(const std::string& path);

// Makes the tuner that a checkpoint holds, on `model`, with its parameters; trained base parameters are written into
// the model, which gets a classification head where the checkpoint has one. Throws InputError where names, shapes or
// the base's hash (unless `any_base`) do not fit.
std::unique_ptr<Tuner> load_tuner(const std::string& path, Model&, const BaseIdentity& base, bool any_base);
// The values of base parameters that a checkpoint holds, by their names, as they trained (float32 masters of bfloat16);
// none for others.
std::function<Tensor(const std::string&)> trained_base(const std::string& path);
// Copies optimizer state and float32 masters into what `trained` and `optimizer` hold.
void load_training_state(const std::string& path, const TrainedSet&, Optimizer&);

}  // namespace cambium
