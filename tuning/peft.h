// Tuners of Hugging Face PEFT: a directory with adapter_config.json and adapter_model.safetensors, read and written as
// PEFT 0.21 does. (reference: huggingface/peft, src/peft/tuners)
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "tuning/tuner.h"

namespace cambium {

// A directory that holds an adapter_config.json.
bool is_peft_adapter(const std::string& path);

// Makes the tuner that the directory holds, on `model`. PEFT stores no hash of its base: shapes and names alone are
// checked.
//
//   LORA           lora, or dora with use_dora; ranks and alphas of single modules as patterns. GPT-2's c_attn is adapted
//                  whole: targets=query_key_value.
//   ADALORA        the lora that it computes: E A in the place of A
//   IA3            ia3; feedforward_modules are its inputs
//   VERA           vera with compat=peft
//   LN_TUNING      layer_norm, or full with the norms that it names
//   PROMPT_TUNING, P_TUNING   prompt; for sequence-to-sequence models the encoder's, the first half of the rows
//   PREFIX_TUNING  prefix of a decoder; with compat=peft of one that has an encoder, except T5's
//
// Biases that train along (bias) and modules that were trained whole (modules_to_save) are written into the model, and
// `+bitfit` or `+full` stands beside the method; a classification head trains anyway. Throws InputError, naming file and
// field, for tensors that are too many, missing or of another shape, and for what would compute something else: fields
// that are not known and not off, matrices that were taken out of the base's weights (PiSSA), products outside layers,
// a head or an embedding that was trained apart from the other.
std::unique_ptr<Tuner> load_peft_adapter(const std::string& path, Model& model);

// The values of base parameters that a directory brings, in float32, by our names; none for others.
std::function<Tensor(const std::string&)> peft_trained_base(const std::string& path, const ModelConfig&);

// Writes a tuner as a directory that PEFT 0.21 loads and with which it computes the same. base: what PEFT is told that the
// adapter belongs to; trained_base: parameters of the model that trained along. Projections that are part of one product
// there (GPT-2's c_attn) become one matrix of the sum of their ranks, with zeros. A prefix or a prompt that a network
// makes is written as its rows. Throws InputError for what PEFT cannot compute: adapters, prefixes of encoders, parts of
// modules that trained, ...
void save_peft_adapter(const std::string& path, Tuner&, Model&, const std::string& base,
                       const std::vector<std::string>& trained_base);

}  // namespace cambium
