// Model configurations of others: Hugging Face's config.json and GGUF's metadata.
#pragma once

#include <string>

#include "models/config.h"
#include "models/files/gguf.h"
#include "models/files/weights.h"

namespace cambium {

// The configuration in a Hugging Face directory, with generation_config.json's end tokens where there is one. What the
// weights do not have (a pooler, an MLM head) the configuration does not have either. Throws InputError for model types
// and settings that are not supported, naming them.
ModelConfig read_huggingface_config(const std::string& directory, const WeightFile&);

// Architectures llama and gpt2.
ModelConfig read_gguf_config(const GgufFile&);

}  // namespace cambium
