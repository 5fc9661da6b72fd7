// Defaults and shared names of transformers' configuration classes: figures of transformers 5.23.
#include "models/import/class_defaults.h"

#include <map>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace cambium {
namespace {

using nlohmann::json;

constexpr const char* kDefaults = R"({
  "gpt2": {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12,
           "tie_word_embeddings": true},
  "llama": {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
            "num_attention_heads": 32, "tie_word_embeddings": false},
  "mistral": {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
              "num_attention_heads": 32, "num_key_value_heads": 8, "sliding_window": 4096,
              "tie_word_embeddings": false},
  "qwen2": {"vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32,
            "num_attention_heads": 32, "num_key_value_heads": 32, "sliding_window": 4096,
            "max_window_layers": 28, "tie_word_embeddings": false},
  "bert": {"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
           "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 0,
           "tie_word_embeddings": true},
  "roberta": {"vocab_size": 50265, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
              "intermediate_size": 3072, "max_position_embeddings": 512, "type_vocab_size": 2, "pad_token_id": 1,
              "tie_word_embeddings": true},
  "t5": {"vocab_size": 32128, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8,
         "pad_token_id": 0, "tie_word_embeddings": true},
  "bart": {"vocab_size": 50265, "max_position_embeddings": 1024, "encoder_layers": 12, "encoder_ffn_dim": 4096,
           "encoder_attention_heads": 16, "decoder_layers": 12, "decoder_ffn_dim": 4096,
           "decoder_attention_heads": 16, "d_model": 1024, "pad_token_id": 1, "decoder_start_token_id": 2,
           "tie_word_embeddings": true}
})";

using Names = std::vector<std::pair<std::string, std::string>>;  // shared name: the class's own

const Names& shared_names(const std::string& type) {
  static const std::map<std::string, Names> all = {{"gpt2",
                                                    {{"hidden_size", "n_embd"},
                                                     {"max_position_embeddings", "n_positions"},
                                                     {"num_attention_heads", "n_head"},
                                                     {"num_hidden_layers", "n_layer"}}},
                                                   {"t5",
                                                    {{"hidden_size", "d_model"},
                                                     {"num_attention_heads", "num_heads"},
                                                     {"num_hidden_layers", "num_layers"},
                                                     {"head_dim", "d_kv"}}},
                                                   {"bart",
                                                    {{"num_attention_heads", "encoder_attention_heads"},
                                                     {"hidden_size", "d_model"},
                                                     {"num_hidden_layers", "encoder_layers"}}}};
  static const Names none;
  const auto found = all.find(type);
  return found == all.end() ? none : found->second;
}

}  // namespace

json with_class_defaults(json config, const std::string& type) {
  static const json all = json::parse(kDefaults);
  const auto defaults = all.find(type);
  if (defaults == all.end()) return config;
  for (const auto& [name, value] : defaults->items())
    if (!config.contains(name)) config[name] = value;
  // T5 copies the number of layers before it learns of another name for it.
  if (type == "t5" && (!config.contains("num_decoder_layers") || config["num_decoder_layers"].is_null()))
    config["num_decoder_layers"] = config["num_layers"];
  for (const auto& [shared, own] : shared_names(type)) {
    const auto found = config.find(shared);
    if (found == config.end()) continue;
    config[own] = *found;
    config.erase(shared);
  }
  return config;
}

bool is_shared_name(const std::string& type, const std::string& name) {
  for (const auto& [shared, _] : shared_names(type))
    if (shared == name) return true;
  return false;
}

}  // namespace cambium
