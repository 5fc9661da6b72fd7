// Checkpoints: what a tuner learned, and all that continuing needs, in an HDF5 file that standard tools open.
//
//   /tuner/<i>/<name>    the parameters of tuner i, dots of names as slashes; attributes: method, options,
//   effective_scale /base/<name>         base parameters that train (all of them where self-contained)
//   /optimizer/<name>/.. its state; absent where a file is made to be used and not to be continued (tuner.h5, best.h5)
//   /state               attributes: step, seed, ...; missed_steps: of each trained tensor, where any missed one
//   /golden              what the file should compute (tuning/golden.h)
//   attributes of /      format_version, software_version, model family and sizes, base_hash, ...
//
// Format 1 held one tuner, its parameters as /tuner/<name> and its attributes with those of /, and whole logits in
// /golden. It is read as ever.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tuning/golden.h"
#include "tuning/trained_set.h"

namespace cambium {

inline constexpr int64_t kCheckpointVersion = 2;

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

// With the optimizer's state, which may be null: then the file is for using the tuner, and no run continues from it.
void save_checkpoint(const std::string& path, Tuner&, const TrainedSet&, const Optimizer*, const TrainingState&,
                     const BaseIdentity&, const Golden&);

// What a file says of itself; reading it needs no model.
struct StoredTuner {
  std::string method;
  OptionMap options;
  double effective_scale = 1;
  std::string group;                        // "/tuner/0"
  std::map<std::string, Shape> parameters;  // names and shapes
};
struct CheckpointInfo {
  std::string path;
  std::vector<StoredTuner> tuners;  // at least one
  BaseIdentity base;
  TrainingState state;
  std::string software_version;
  int64_t format_version = 0;
  std::map<std::string, Shape> trained_base;  // names and shapes
  bool has_optimizer = false;

  // The one tuner of the file. Throws InputError where there are more.
  const StoredTuner& tuner() const;
};
CheckpointInfo read_checkpoint_info(const std::string& path);
Golden read_golden(const std::string& path);
// A parameter of the one tuner, by its name. Throws InputError where it is missing.
Tensor read_tuner_parameter(const std::string& path, const std::string& name);

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
