// Model configurations of others: Hugging Face's config.json and GGUF's metadata.
#pragma once

#include <string>

#include "models/config.h"
#include "models/files/gguf.h"
#include "models/files/weights.h"

namespace cambium {

// The configuration in a Hugging Face directory as transformers 5 reads it, with generation_config.json's tokens where
// there is one. What the weights do not have (a pooler, an MLM head) the configuration does not have either; a head
// that they have beside a tied one it has. Settings that change results are used, refused by their name (InputError),
// or said to be without use. Tokens that lie outside the vocabulary are only named: who needs one refuses it.
ModelConfig read_huggingface_config(const std::string& directory, const WeightFile&);

// Architectures llama and gpt2.
ModelConfig read_gguf_config(const GgufFile&);

// Names the tokens of a configuration that no row of its vocabulary has; `path` is what it was read from.
void note_ids_outside(const ModelConfig&, const std::string& path);
// The size of a head: width / heads, which must divide it.
int64_t quotient(int64_t width, const char* width_name, int64_t heads, const char* heads_name);

}  // namespace cambium
