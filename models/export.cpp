#include "models/export.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/hdf5.h"
#include "core/json.h"
#include "core/machine.h"
#include "core/progress.h"
#include "models/files/gguf.h"
#include "models/files/safetensors.h"
#include "models/tokenizers/tokenizer.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr const char* kTokenizerFiles[] = {"tokenizer.json",
                                           "tokenizer_config.json",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "vocab.json",
                                           "merges.txt",
                                           "vocab.txt",
                                           "spiece.model",
                                           "tokenizer.model"};

// What transformers calls an activation.
const char* activation_name(Activation a) {
  switch (a) {
    case Activation::relu: return "relu";
    case Activation::gelu: return "gelu";
    case Activation::gelu_tanh: return "gelu_new";
    case Activation::silu: return "silu";
    case Activation::tanh: break;
  }
  throw Error("an activation that transformers has no name for");
}

void set_gpt2(ordered_json& j, const ModelConfig& c) {
  j["architectures"] = {"GPT2LMHeadModel"};
  j["n_embd"] = c.width, j["n_layer"] = c.decoder.layers, j["n_head"] = c.decoder.heads, j["n_inner"] = c.decoder.inner;
  j["n_positions"] = c.max_positions, j["layer_norm_epsilon"] = c.epsilon,
  j["activation_function"] = activation_name(c.activation);
  j["scale_attn_weights"] = c.attention_scale == 0, j["scale_attn_by_inverse_layer_idx"] = c.scale_by_layer;
  j["embd_pdrop"] = c.dropout.embedding, j["attn_pdrop"] = c.dropout.attention, j["resid_pdrop"] = c.dropout.residual;
}

void set_llama(ordered_json& j, const ModelConfig& c) {
  j["architectures"] = {"LlamaForCausalLM"};
  check_input(c.attention_bias == c.output_bias,
              "a Llama model with biases on queries, keys and values alone has no Hugging Face form here");
  j["hidden_size"] = c.width, j["num_hidden_layers"] = c.decoder.layers, j["num_attention_heads"] = c.decoder.heads;
  j["num_key_value_heads"] = c.decoder.kv_heads, j["head_dim"] = c.decoder.head_size,
  j["intermediate_size"] = c.decoder.inner;
  j["max_position_embeddings"] = c.max_positions, j["rms_norm_eps"] = c.epsilon,
  j["hidden_act"] = activation_name(c.activation);
  j["attention_bias"] = c.attention_bias, j["mlp_bias"] = c.feed_forward_bias,
  j["attention_dropout"] = c.dropout.attention;
  j["rope_theta"] = c.rotary_base;
  if (const RotaryScaling& s = c.rotary_scaling; s.factor != 1)
    j["rope_scaling"] = {{"rope_type", "llama3"},
                         {"factor", s.factor},
                         {"low_freq_factor", s.low_frequency},
                         {"high_freq_factor", s.high_frequency},
                         {"original_max_position_embeddings", int64_t(s.original_positions)}};
}

void set_bert(ordered_json& j, const ModelConfig& c) {
  const std::string name = c.family == "roberta" ? "Roberta" : "Bert";
  j["architectures"] = {name + (c.classes ? "ForSequenceClassification" : c.language_head ? "ForMaskedLM" : "Model")};
  for (int64_t i = 0; i < c.classes; ++i) {
    const std::string number = std::to_string(i), label = "LABEL_" + number;
    j["id2label"][number] = label, j["label2id"][label] = i;
  }
  j["hidden_size"] = c.width, j["num_hidden_layers"] = c.encoder.layers, j["num_attention_heads"] = c.encoder.heads;
  j["intermediate_size"] = c.encoder.inner, j["max_position_embeddings"] = c.max_positions + c.position_offset;
  j["layer_norm_eps"] = c.epsilon, j["type_vocab_size"] = c.token_types,
  j["hidden_act"] = activation_name(c.activation);
  j["hidden_dropout_prob"] = c.dropout.residual, j["attention_probs_dropout_prob"] = c.dropout.attention;
}

void set_t5(ordered_json& j, const ModelConfig& c) {
  j["architectures"] = {"T5ForConditionalGeneration"};
  j["d_model"] = c.width, j["d_kv"] = c.encoder.head_size, j["d_ff"] = c.encoder.inner,
  j["num_heads"] = c.encoder.heads;
  j["num_layers"] = c.encoder.layers, j["num_decoder_layers"] = c.decoder.layers, j["layer_norm_epsilon"] = c.epsilon;
  j["relative_attention_num_buckets"] = c.relative_buckets, j["relative_attention_max_distance"] = c.relative_distance;
  j["feed_forward_proj"] =
      c.gated ? (c.activation == Activation::gelu_tanh ? "gated-gelu" : text("gated-", activation_name(c.activation)))
              : activation_name(c.activation);
  j["dropout_rate"] = c.dropout.residual;
}

void set_bart(ordered_json& j, const ModelConfig& c) {
  j["architectures"] = {"BartForConditionalGeneration"};
  j["d_model"] = c.width;
  j["encoder_layers"] = c.encoder.layers, j["encoder_attention_heads"] = c.encoder.heads,
  j["encoder_ffn_dim"] = c.encoder.inner;
  j["decoder_layers"] = c.decoder.layers, j["decoder_attention_heads"] = c.decoder.heads,
  j["decoder_ffn_dim"] = c.decoder.inner;
  j["max_position_embeddings"] = c.max_positions, j["activation_function"] = activation_name(c.activation);
  j["scale_embedding"] = c.embedding_scale != 1, j["dropout"] = c.dropout.residual,
  j["attention_dropout"] = c.dropout.attention;
  j["activation_dropout"] = c.dropout.activation;
}

std::string gguf_in(const std::string& path) {
  if (!is_directory(path)) return is_gguf(path) ? path : "";
  for (const std::string& name : list_directory(path))
    if (name.ends_with(".gguf")) return path + "/" + name;
  return "";
}

// The tokenizer's files by name.
std::map<std::string, std::string> tokenizer_files(const std::string& path) {
  std::map<std::string, std::string> files;
  if (path.ends_with(".h5")) {
    const Hdf5File file(path);
    if (file.is_group("/tokenizer"))
      for (const std::string& name : file.list("/tokenizer"))
        for (const std::string& part : file.read_strings("/tokenizer/" + name)) files[name] += part;
    return files;
  }
  if (is_directory(path))
    for (const char* name : kTokenizerFiles)
      if (file_exists(path + "/" + name)) files[name] = read_text_file(path + "/" + name);
  if (files.empty())
    if (const std::string gguf = gguf_in(path); !gguf.empty())
      if (const auto vocabulary = read_gguf_vocabulary(GgufFile(gguf).values());
          vocabulary && !vocabulary->merges.empty())
        files["tokenizer.json"] = reading(gguf, [&] { return gguf_tokenizer_json(*vocabulary); });
  return files;
}

using Values = std::function<Tensor(const std::string&)>;

void save_hdf5(const ModelConfig& config, const Values& values, const std::map<std::string, std::string>& tokenizer,
               const std::string& path) {
  Model model(config, DType::f32, Device::cpu(), Model::Storage::none);
  Hdf5Writer file(path);
  Progress progress("writing", model.parameter_count());
  for (const NamedParameter& p : model.parameters()) {
    std::string place = p.name;
    std::replace(place.begin(), place.end(), '.', '/');
    const Tensor value = values(p.name);
    file.write("/parameters/" + place, value);
    progress.add(value.size());
  }
  file.group("/tokenizer");
  for (const auto& [name, contents] : tokenizer) {
    if (valid_utf8(contents) != contents || contents.find('\0') != contents.npos) {
      Progress::say(text("note: ", name, " is not text and is left out of ", path));
      continue;
    }
    file.write("/tokenizer/" + name, std::vector<std::string>{contents});
  }
  file.attribute("/", "model_config", to_json(config));
  file.attribute("/", "software_version", software_version());
  file.commit();
}

void save_directory(const ModelConfig& config, const Values& values,
                    const std::map<std::string, std::string>& tokenizer, const std::string& path, DType type) {
  check_input(!file_exists(path) || (is_directory(path) && list_directory(path).empty()), path,
              " is there and not empty; give a new directory");
  // Everything goes beside the place first: a directory that is there is whole.
  const std::string name = fs::path(path).lexically_normal().string(),
                    parent =
                        fs::path(name.ends_with("/") ? name.substr(0, name.size() - 1) : name).parent_path().string();
  if (!parent.empty()) make_directories(parent);
  TemporaryDirectory work(parent.empty() ? "." : parent);
  const std::string inside = work / "model";
  make_directories(inside);
  std::map<std::string, Tensor> tensors;
  for (const NameRule& rule : huggingface_names(config)) {
    Tensor value = values(rule.ours);
    if (rule.relayout == Relayout::transpose && value.shape().rank() == 2) value = transposed(value);
    if (rule.foreign == "final_logits_bias") value = value.reshape({1, value.size()});
    tensors[rule.foreign] = value.to(type);
  }
  write_safetensors(inside + "/model.safetensors", tensors, {{"format", "pt"}});
  write_file(inside + "/config.json", huggingface_config(config, type));
  if (!config.eos.empty())
    write_file(inside + "/generation_config.json", ordered_json{{"eos_token_id", config.eos}}.dump(2) + "\n");
  for (const auto& [file, contents] : tokenizer) write_file(inside + "/" + file, contents);
  sync_directory(inside);
  if (file_exists(path)) fs::remove(path);
  fs::rename(inside, path);
}

}  // namespace

std::string huggingface_config(const ModelConfig& c, DType type) {
  ordered_json j;
  j["model_type"] = c.family;
  j["vocab_size"] = c.vocabulary;
  j["tie_word_embeddings"] = c.tied_head;
  j["torch_dtype"] = type == DType::bf16 ? "bfloat16" : "float32";
  if (c.bos) j["bos_token_id"] = *c.bos;
  if (c.pad) j["pad_token_id"] = *c.pad;
  if (c.decoder_start) j["decoder_start_token_id"] = *c.decoder_start;
  if (c.eos.size() == 1) j["eos_token_id"] = c.eos.front();
  else if (!c.eos.empty()) j["eos_token_id"] = c.eos;
  if (c.forced_bos) j["forced_bos_token_id"] = *c.forced_bos;
  if (c.is_seq2seq())
    j["is_encoder_decoder"] = true,
    j["forced_eos_token_id"] = c.forced_eos ? ordered_json(*c.forced_eos) : ordered_json();
  if (c.family == "gpt2") set_gpt2(j, c);
  else if (c.family == "llama") set_llama(j, c);
  else if (c.family == "t5") set_t5(j, c);
  else if (c.family == "bart") set_bart(j, c);
  else set_bert(j, c);
  return j.dump(2) + "\n";
}

void save_model(const ModelConfig& config, const Values& values, const std::string& tokenizer_path,
                const std::string& path, DType type) {
  const auto tokenizer = tokenizer_files(tokenizer_path);
  if (path.ends_with(".h5")) save_hdf5(config, values, tokenizer, path);
  else save_directory(config, values, tokenizer, path, type);
}

}  // namespace cambium
