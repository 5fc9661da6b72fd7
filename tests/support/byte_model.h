// A small model that reads texts without any tokenizer's files at hand: its tokens are bytes.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "experiments/lib/shapes.h"
#include "models/export.h"
#include "models/files/safetensors.h"
#include "models/import/names.h"
#include "models/model.h"
#include "models/tokenizers/byte_alphabet.h"
#include "tests/support/files.h"

namespace cambium::testing {

inline constexpr int32_t kByteModelEnd = 256;

// A random Llama whose ids are bytes, in Hugging Face form.
inline void write_byte_model(const std::string& directory) {
  ModelConfig config = tiny_decoder(kByteModelEnd + 1);
  config.eos = {kByteModelEnd};
  Model values(config, DType::f32);
  values.randomize(1, 0.1f);
  std::map<std::string, Tensor> tensors;
  for (const NamedParameter& p : values.parameters())
    for (const NameRule& rule : huggingface_names(config))
      if (rule.ours == p.name) tensors[rule.foreign] = p.value().clone();
  std::filesystem::create_directory(directory);
  write_safetensors(directory + "/model.safetensors", tensors);
  put_file(directory + "/config.json", huggingface_config(config));
  nlohmann::json vocabulary;
  for (int byte = 0; byte < kByteModelEnd; ++byte) vocabulary[spelling_of_byte(uint8_t(byte))] = byte;
  vocabulary["<|endoftext|>"] = kByteModelEnd;
  put_file(directory + "/vocab.json", vocabulary.dump());
  put_file(directory + "/merges.txt", "#version: 0.2\n");
  put_file(directory + "/tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"})");
}

}  // namespace cambium::testing
