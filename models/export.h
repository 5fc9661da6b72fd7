// Models to files: our HDF5 form, and Hugging Face directories that transformers loads.
#pragma once

#include <functional>
#include <string>

#include "models/load.h"

namespace cambium {

// Writes a model with the float32 numbers that `values` gives by our names. A path that ends in .h5 gets our
// form, in float32; any other becomes a directory in Hugging Face form (which must not exist, or be empty) with numbers
// of `type`, f32 or bf16. The tokenizer's files at `tokenizer_path` (a directory or a GGUF file) come along.
void save_model(const ModelConfig&, const std::function<Tensor(const std::string&)>& values,
                const std::string& tokenizer_path, const std::string& path, DType type = DType::f32);

// transformers' config.json for a configuration.
std::string huggingface_config(const ModelConfig&, DType type = DType::f32);

}  // namespace cambium
