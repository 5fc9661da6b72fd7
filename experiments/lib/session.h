// A model that is ready to work: weights, tokenizer, and what identifies it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/json.h"
#include "models/load.h"
#include "models/tokenizers/tokenizer.h"
#include "tuning/checkpoint.h"

namespace cambium {

// Options that all commands share.
struct CommonOptions {
  std::string device = "auto";    // auto, cpu, gpu, gpu:1
  std::string attention = "own";  // GPU: whose kernels, own or cudnn
  bool graphs = false;            // GPU: decoding and training steps as CUDA graphs
  bool fused_gelu = false;        // GPU: cuBLASLt applies GELU's tanh form to products it is still adding up
  std::string dtype;  // of the frozen base: f32, bf16; empty: bf16 where the hardware multiplies it natively
  int threads = 0;    // 0: all that the process may use
  uint64_t seed = 0;
  bool quiet = false, verbose = false, json = false;
};

// Threads, quietness and verbosity take effect. Call once.
void apply(const CommonOptions&);
Device device_of(const CommonOptions&);
DType weight_type_of(const CommonOptions&, Device);

// What may change the bits of what a GPU computes.
struct Kernels {
  std::string attention = "own";  // whose attention: own or cudnn
  bool fused_gelu = false;

  // What a run's description says of it: only what is not the default.
  void describe(nlohmann::json&) const;
};
// --attention and --fused-gelu take effect for models like this one. Call before the first step. Returns what was
// chosen: cuDNN's attention may not be possible.
Kernels choose_kernels(const CommonOptions&, const ModelConfig&, DType, Device);

struct Session {
  std::unique_ptr<ModelSource> source;
  std::unique_ptr<Model> model;
  std::unique_ptr<const Tokenizer> tokenizer;  // none where the model has no tokenizer files
  BaseIdentity identity;
  Kernels kernels;

  const Tokenizer& require_tokenizer() const;
  // What tuners need for initial values.
  TunerContext context(uint64_t seed);
};

// Opens `model` (a path or a known name) with its tokenizer; loads the weights unless `weights` is false. The base's
// hash is computed if `hash`.
Session open_session(const std::string& model, const CommonOptions&, bool weights = true, bool hash = true);
std::unique_ptr<const Tokenizer> open_tokenizer(const std::string& model_path);

// A checkpoint of ours or a PEFT adapter directory, on the session's model.
std::unique_ptr<Tuner> open_tuner(const std::string& path, Session&, bool force_base);

}  // namespace cambium
