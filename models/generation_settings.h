// generation_config.json: what a model's makers want generation to be like.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "models/generation.h"

namespace cambium {

// What a file of settings asks for.
struct GenerationSettings {
  std::vector<std::string> used;      // "num_beams = 4": done
  std::vector<std::string> not_used;  // "repetition_penalty = 1.2": would change results and is not done
};

// Fills those of the options that `given` does not name (by the names of the file: num_beams, do_sample, ...) from the
// settings of the model at `model_path` (generation_config.json, or config.json where that is not there), with
// transformers' meaning. Tokens (eos_token_id, forced_eos_token_id, ...) are the configuration's already.
// InputError: a setting of another type than it must be.
GenerationSettings apply_generation_settings(const std::string& model_path, const ModelConfig&,
                                             const std::set<std::string>& given, GenerationOptions&);

}  // namespace cambium
