// An exported T5 1.1 as a Hugging Face directory.
#include <algorithm>
#include <cstring>

#include "models/files/onnx.h"
#include "models/files/safetensors.h"

namespace cambium {
namespace {

constexpr std::string_view kConfig = R"({
  "architectures": ["T5ForConditionalGeneration"],
  "model_type": "t5",
  "is_encoder_decoder": true,
  "vocab_size": 32128,
  "d_model": 512,
  "d_kv": 64,
  "d_ff": 1024,
  "num_layers": 8,
  "num_decoder_layers": 8,
  "num_heads": 6,
  "relative_attention_num_buckets": 32,
  "relative_attention_max_distance": 128,
  "dropout_rate": 0.1,
  "layer_norm_epsilon": 1e-06,
  "initializer_factor": 1.0,
  "feed_forward_proj": "gated-gelu",
  "tie_word_embeddings": false,
  "pad_token_id": 0,
  "eos_token_id": 1,
  "decoder_start_token_id": 0,
  "use_cache": true
}
)";

// The name in Hugging Face's T5; the module path of a node is between its first slash and its last.
//   enc.block.0...weight -> encoder.block.0...weight     /enc/block.0/.../q/MatMul_quant ->
//   encoder.block.0....q.weight m.decoder...weight   -> decoder...weight /m/lm_head/MatMul_quant ->
//   lm_head.weight
std::string t5_name(std::string name) {
  if (name.starts_with('/')) {
    name = name.substr(1, name.rfind('/') - 1) + ".weight";
    std::replace(name.begin(), name.end(), '/', '.');
  }
  if (name.starts_with("enc.")) return "encoder." + name.substr(4);
  return name.starts_with("m.") ? name.substr(2) : name;
}

bool same_values(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), size_t(a.bytes())) == 0;
}

}  // namespace

void convert_t5_graphs(const std::string& from, const std::string& to) {
  std::map<std::string, Tensor> tensors;
  for (const char* graph : {"/encoder.onnx", "/decoder.onnx"}) {
    const OnnxFile file(from + graph);
    for (const auto& [name, _] : file.entries()) {
      const auto [entry, fresh] = tensors.emplace(t5_name(name), file.read(name));
      check_input(fresh, file.path(), ": \"", name, "\" comes a second time, as ", entry->first);
    }
  }
  // Both graphs hold the embedding.
  const auto own = tensors.find("encoder.embed_tokens.weight"), shared = tensors.find("shared.weight");
  check_input(own != tensors.end() && shared != tensors.end() && same_values(own->second, shared->second), from,
              ": encoder.onnx and decoder.onnx do not have the same embedding");
  tensors.erase(own);
  write_safetensors(to + "/model.safetensors", tensors, {{"format", "pt"}});
  write_file(to + "/config.json", kConfig);
  write_file(to + "/tokenizer.json", read_text_file(from + "/tokenizer.json"));
}

}  // namespace cambium
