// What all tuners are: hooks with parameters of their own, or a choice of the base's.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/hooks.h"
#include "models/model.h"

namespace cambium {

class Tokenizer;

// What a tuner may look at while it sets its initial values.
struct TunerContext {
  Model& model;
  uint64_t seed = 0;
  bool initialize = true;  // false: values are about to be loaded
  // The tokens of a text, without special tokens; empty where no tokenizer is at hand.
  std::function<std::vector<int32_t>(const std::string&)> tokenize = {};
  // Whether a token stands for text: neither special nor without an entry in the tokenizer. Absent like `tokenize`.
  std::function<bool(int32_t)> is_text = {};
  std::string words = {};                // real words that suit the task, for initial values
  std::vector<std::string> labels = {};  // label words of the task
};

// Options as they stand on the command line and in checkpoints: "rank" -> "8".
using OptionMap = std::map<std::string, std::string>;

class Tuner : public Hooks {
 public:
  // The name on the command line: "lora".
  virtual std::string method() const = 0;
  // All options with their values, defaults included.
  virtual OptionMap options() const = 0;
  // Its own parameters, float32 (float64 on a float64 model), in a fixed order; names are relative:
  // "decoder.layers.0.self_attention.query.lora_a".
  virtual std::vector<NamedParameter> parameters() { return {}; }
  // Share of a trained tensor's scalars that must have had a gradient after a few steps; see the trainer's audit.
  virtual double live_share(std::string_view /*name*/) const { return 1; }
  // Whether it drops something itself in training, with the pass's random numbers.
  virtual bool draws() const { return false; }
  // The learning rate that is used when none is given.
  virtual double default_learning_rate() const = 0;
  // What a trained tensor's learning rate is, in terms of the run's.
  virtual double rate_factor(std::string_view /*name*/) const { return 1; }
  // Adds its parameters into the base's: after it, the base alone computes what both did. False: not possible.
  virtual bool merge_into(Model&) { return false; }
  // Takes them out of a base that they were merged into, but for rounding. False: what it was is lost.
  virtual bool unmerge_from(Model&) { return false; }
  // A factor that the method multiplies its delta by (LoRA's alpha / rank), for checkpoints; 1 where there is none.
  virtual double effective_scale() const { return 1; }
};

}  // namespace cambium
