// Tuners that Hugging Face PEFT saved: a directory with adapter_config.json and adapter_model.safetensors.
#pragma once

#include <memory>
#include <string>

#include "tuning/tuner.h"

namespace cambium {

// A directory that holds an adapter_config.json.
bool is_peft_adapter(const std::string& path);

// Makes the tuner that the directory holds, on `model`: LoRA, prompt tuning or prefix tuning, as PEFT 0.21 computes
// them (reference: huggingface/peft, src/peft/tuners). PEFT stores no hash of its base: shapes and names alone are
// checked.
//
//   LoRA    <module>.lora_A.weight [rank, in], <module>.lora_B.weight [out, rank]; modules that the file leaves out
//   stay as
//           they are. GPT-2's c_attn is adapted whole: targets=query_key_value.
//   prompt  prompt_embeddings [length, width]; for sequence-to-sequence models the encoder's, the first `length` rows.
//   prefix  prompt_embeddings [length, layers * 2 * kv_width] of a decoder: key and value of each layer in turn.
//
// The classification head that a LoRA adapter brings along (modules_to_save) is written into the model. Throws
// InputError, naming file and field, for what would compute something else: DoRA and other variants, biases, other
// trained modules, ranks that differ between modules, matrices that were taken out of the base's weights (PiSSA),
// prefixes of models with an encoder.
std::unique_ptr<Tuner> load_peft_adapter(const std::string& path, Model& model);

}  // namespace cambium
