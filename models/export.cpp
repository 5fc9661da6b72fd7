#include "models/export.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/hdf5.h"
#include "core/json.h"
#include "core/machine.h"
#include "core/places.h"
#include "core/progress.h"
#include "models/companions.h"
#include "models/files/safetensors.h"
#include "models/import/class_defaults.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;
namespace fs = std::filesystem;

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

// Llama, and Qwen 2 where biases are on queries, keys and values alone.
void set_llama(ordered_json& j, const ModelConfig& c) {
  const bool qwen2 = c.attention_bias && !c.output_bias && !c.feed_forward_bias;
  check_input(qwen2 || c.attention_bias == c.output_bias,
              "a Llama model with biases on some products of attention alone has no Hugging Face form; .h5 holds it");
  if (qwen2) j["model_type"] = "qwen2";
  j["architectures"] = {qwen2 ? "Qwen2ForCausalLM" : "LlamaForCausalLM"};
  j["hidden_size"] = c.width, j["num_hidden_layers"] = c.decoder.layers, j["num_attention_heads"] = c.decoder.heads;
  j["num_key_value_heads"] = c.decoder.kv_heads, j["head_dim"] = c.decoder.head_size,
  j["intermediate_size"] = c.decoder.inner;
  if (c.max_positions) j["max_position_embeddings"] = c.max_positions;
  j["rms_norm_eps"] = c.epsilon, j["hidden_act"] = activation_name(c.activation);
  if (!qwen2) j["attention_bias"] = c.attention_bias, j["mlp_bias"] = c.feed_forward_bias;
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
  if (c.family == "roberta") j["pad_token_id"] = c.position_offset - 1;  // the row before the first position
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
  // "gated-gelu" alone means the tanh form; tie_word_embeddings alone, that the head's rows are scaled.
  j["dense_act_fn"] = activation_name(c.activation), j["is_gated_act"] = c.gated;
  j["tie_word_embeddings"] = c.head_scale != 1;
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

// Fields that ours stand for, or that are about the original's files.
bool is_replaced(const std::string& type, const std::string& name) {
  constexpr std::string_view kNames[] = {"auto_map",
                                         "quantization_config",
                                         "_name_or_path",
                                         "_commit_hash",
                                         "torch_dtype",
                                         "dtype",
                                         "transformers_version",
                                         "rope_scaling",
                                         "rope_theta",
                                         "rope_parameters",
                                         "num_labels",
                                         "original_max_position_embeddings",
                                         "partial_rotary_factor",
                                         "scale_decoder_outputs"};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) || is_shared_name(type, name);
}

// `ours` with what the original's config.json says beside: names of classes, a window of attention, values for
// training.
void add_original(ordered_json& ours, const ModelConfig& c, const std::string& original) {
  const json file = parse_json(original, "config.json");
  const std::string type = file.is_object() ? find_string(file, "model_type").value_or("") : "";
  const bool llama = type == "llama" || type == "mistral" || type == "qwen2";
  if ((llama ? "llama" : type) != c.family) return;  // of another model
  if (type == "mistral") {
    ours["model_type"] = type, ours["architectures"] = {"MistralForCausalLM"};
    ours.erase("attention_bias"), ours.erase("mlp_bias");
  }
  if (file.contains("sliding_window") || type == "mistral") {
    // Ours end at the window.
    if (const json* positions = find_field(file, "max_position_embeddings"))
      ours["max_position_embeddings"] = *positions;
    else ours.erase("max_position_embeddings");
  }
  const json* const labels = find_field(file, "id2label");
  if (c.classes && labels && int64_t(labels->size()) == c.classes && find_field(file, "label2id"))
    ours["id2label"] = *labels, ours["label2id"] = file["label2id"];
  for (const auto& [name, value] : file.items())
    if ((!ours.contains(name) || (ours[name].is_null() && !value.is_null())) && !is_replaced(type, name))
      ours[name] = value;
}

// Of a model without one: the tokens that generation knows.
std::string generation_config(const ModelConfig& c) {
  ordered_json j;
  const auto set = [&](const char* name, const std::optional<int32_t>& id) {
    if (id) j[name] = *id;
  };
  set("bos_token_id", c.bos);
  if (!c.eos.empty()) j["eos_token_id"] = c.eos.size() == 1 ? ordered_json(c.eos.front()) : ordered_json(c.eos);
  set("pad_token_id", c.pad), set("decoder_start_token_id", c.decoder_start);
  set("forced_bos_token_id", c.forced_bos), set("forced_eos_token_id", c.forced_eos);
  return c.is_encoder() || j.is_null() ? "" : j.dump(2) + "\n";
}

using Values = std::function<Tensor(const std::string&)>;

void save_hdf5(const ModelConfig& config, const Values& values, const Companions& companions, const std::string& path) {
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
  file.group("/tokenizer"), file.group("/settings");
  for (const auto* group : {&companions.tokenizer, &companions.settings})
    for (const auto& [name, contents] : *group) {
      if (valid_utf8(contents) != contents || contents.find('\0') != contents.npos) {
        Progress::say(text("note: ", name, " is not text and is left out of ", path));
        continue;
      }
      // Names with a folder are none of what the tokenizer is read from.
      const bool setting = group == &companions.settings || name.find('/') != name.npos;
      file.write((setting ? "/settings/" : "/tokenizer/") + name, std::vector<std::string>{contents});
    }
  file.attribute("/", "model_config", to_json(config));
  file.attribute("/", "software_version", software_version());
  file.commit();
}

std::map<std::string, Tensor> foreign_tensors(const ModelConfig& config, const Values& values, DType type) {
  std::map<std::string, Tensor> tensors;
  for (const NameRule& rule : huggingface_names(config)) {
    Tensor value = values(rule.ours);
    if (rule.relayout == Relayout::transpose && value.shape().rank() == 2) value = transposed(value);
    if (rule.foreign == "final_logits_bias") value = value.reshape({1, value.size()});
    tensors[rule.foreign] = value.to(type);
    // An MLM head that is not tied reads its bias under another name.
    if (!config.tied_head && config.is_encoder() && rule.ours == "head.bias")
      tensors[config.family == "roberta" ? "lm_head.decoder.bias" : "cls.predictions.decoder.bias"] = value.to(type);
  }
  return tensors;
}

void save_directory(const ModelConfig& config, const Values& values, const Companions& companions,
                    const std::string& path, DType type) {
  const std::string description = huggingface_config(config, type, companions.setting("config.json"));
  make_whole_directory(path, [&](const std::string& inside) {
    write_safetensors(inside + "/model.safetensors", foreign_tensors(config, values, type), {{"format", "pt"}});
    write_file(inside + "/config.json", description);
    std::string generation = companions.setting("generation_config.json");
    if (generation.empty()) generation = generation_config(config);
    if (!generation.empty()) write_file(inside + "/generation_config.json", generation);
    for (const auto& [file, contents] : companions.tokenizer) {
      make_directories(fs::path(inside + "/" + file).parent_path().string());
      write_file(inside + "/" + file, contents);
    }
  });
}

}  // namespace

std::string huggingface_config(const ModelConfig& c, DType type, const std::string& original) {
  const auto token = [](const std::optional<int32_t>& id) { return id ? ordered_json(*id) : ordered_json(); };
  ordered_json j;
  j["model_type"] = c.family;
  j["vocab_size"] = c.vocabulary;
  j["tie_word_embeddings"] = c.tied_head;
  j["torch_dtype"] = type == DType::bf16 ? "bfloat16" : "float32";
  // A token that is null is none; one that is absent, transformers would take from the class.
  j["bos_token_id"] = token(c.bos);
  j["eos_token_id"] = c.eos.size() > 1 ? ordered_json(c.eos) : c.eos.empty() ? ordered_json() : token(c.eos.front());
  j["pad_token_id"] = token(c.pad);
  if (c.decoder_start) j["decoder_start_token_id"] = *c.decoder_start;
  if (c.forced_bos) j["forced_bos_token_id"] = *c.forced_bos;
  if (c.is_seq2seq()) j["is_encoder_decoder"] = true, j["forced_eos_token_id"] = token(c.forced_eos);
  if (c.family == "gpt2") set_gpt2(j, c);
  else if (c.family == "llama") set_llama(j, c);
  else if (c.family == "t5") set_t5(j, c);
  else if (c.family == "bart") set_bart(j, c);
  else set_bert(j, c);
  if (!original.empty()) add_original(j, c, original);
  return j.dump(2) + "\n";
}

void save_model(const ModelConfig& config, const Values& values, const std::string& from, const std::string& path,
                DType type, bool settings) {
  Companions companions = companions_of(from);
  if (!settings) companions.settings.clear();
  if (path.ends_with(".h5")) save_hdf5(config, values, companions, path);
  else save_directory(config, values, companions, path, type);
}

}  // namespace cambium
