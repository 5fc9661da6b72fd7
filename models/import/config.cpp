#include "models/import/config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/json.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr int64_t kMost = int64_t(1) << 31;

int64_t size(const json& j, const char* name) { return get_int(j, name, 0, kMost); }
int64_t size_or(const json& j, const char* name, int64_t fallback) {
  return find_int(j, name, 0, kMost).value_or(fallback);
}
float number_or(const json& j, const char* name, double fallback) {
  return float(find_number(j, name).value_or(fallback));
}
bool flag_or(const json& j, const char* name, bool fallback) { return find_bool(j, name).value_or(fallback); }
// The size of a head.
int64_t quotient(int64_t width, const char* width_name, int64_t heads, const char* heads_name) {
  check_input(heads > 0 && width % heads == 0, "a width (", width_name, ") of ", width, " cannot be shared by ", heads,
              " heads (", heads_name, ")");
  return width / heads;
}
float epsilon_or(const json& j, const char* name, double fallback) {
  const double value = find_number(j, name).value_or(fallback);
  check_input(value > 0 && value < 1, name, " is ", value, "; it must lie between 0 and 1");
  return float(value);
}

Activation activation_named(const std::string& name) {
  if (name == "relu") return Activation::relu;
  if (name == "gelu") return Activation::gelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") return Activation::gelu_tanh;
  if (name == "silu" || name == "swish") return Activation::silu;
  throw InputError(text("the activation \"", name, "\" is not supported; relu, gelu, gelu_new and silu are"));
}

std::vector<int32_t> ids(const json& j, const char* name) {
  const json* field = find_field(j, name);
  if (!field) return {};
  std::vector<int32_t> all;
  if (!field->is_array()) return {int32_t(get_int(j, name, 0, kMost))};
  for (const int64_t id : get_ints(j, name, 0, kMost)) all.push_back(int32_t(id));
  return all;
}

std::optional<int32_t> id(const json& j, const char* name) {
  const std::vector<int32_t> all = ids(j, name);
  return all.empty() ? std::nullopt : std::optional(all.front());
}

void refuse(const json& j, const char* name, bool wrong) {
  if (wrong) throw InputError(text(name, " = ", brief(*find_field(j, name)), " is not supported"));
}

void read_gpt2(const json& j, ModelConfig& c) {
  c.vocabulary = size(j, "vocab_size"), c.width = size(j, "n_embd");
  const int64_t heads = size(j, "n_head");
  c.decoder = {size(j, "n_layer"), heads, heads, quotient(c.width, "n_embd", heads, "n_head"),
               size_or(j, "n_inner", 4 * c.width)};
  c.max_positions = size(j, "n_positions");
  c.epsilon = epsilon_or(j, "layer_norm_epsilon", 1e-5);
  c.activation = activation_named(find_string(j, "activation_function").value_or("gelu_new"));
  c.fused_attention = true;
  if (!flag_or(j, "scale_attn_weights", true)) c.attention_scale = 1;
  c.scale_by_layer = flag_or(j, "scale_attn_by_inverse_layer_idx", false);
  refuse(j, "add_cross_attention", flag_or(j, "add_cross_attention", false));
  c.dropout = {number_or(j, "embd_pdrop", 0.1), number_or(j, "attn_pdrop", 0.1), number_or(j, "resid_pdrop", 0.1), 0};
}

void read_rotary(const json& j, ModelConfig& c) {
  // rope_parameters since transformers 5, rope_theta and rope_scaling before.
  const json* nested = find_field(j, "rope_parameters");
  const json* scaling = nested ? nested : find_field(j, "rope_scaling");
  c.rotary_base = find_number(nested ? *nested : j, "rope_theta").value_or(10000);
  c.rotary_size = c.decoder.head_size;
  if (!scaling) return;
  const std::string type =
      find_string(*scaling, "rope_type").value_or(find_string(*scaling, "type").value_or("default"));
  if (type == "default") return;
  check_input(type == "llama3", "rotary scaling of type \"", type, "\" is not supported; llama3 is");
  c.rotary_scaling = {get_number(*scaling, "factor", 1, 1e6), get_number(*scaling, "low_freq_factor", 1e-3, 1e6),
                      get_number(*scaling, "high_freq_factor", 1e-3, 1e6),
                      get_number(*scaling, "original_max_position_embeddings", 1, 1e9)};
}

void read_llama(const json& j, ModelConfig& c, const std::string& type) {
  c.vocabulary = size(j, "vocab_size"), c.width = size(j, "hidden_size");
  const int64_t heads = size(j, "num_attention_heads");
  c.decoder = {size(j, "num_hidden_layers"), heads, size_or(j, "num_key_value_heads", heads), 0,
               size(j, "intermediate_size")};
  c.decoder.head_size = find_int(j, "head_dim", 1, 65536).value_or(0);
  if (!c.decoder.head_size) c.decoder.head_size = quotient(c.width, "hidden_size", heads, "num_attention_heads");
  c.norm = NormKind::rms, c.epsilon = epsilon_or(j, "rms_norm_eps", 1e-6);
  c.positions = PositionKind::rotary, c.max_positions = size_or(j, "max_position_embeddings", 0);
  read_rotary(j, c);
  c.activation = activation_named(find_string(j, "hidden_act").value_or("silu"));
  c.gated = true;
  c.attention_bias = type == "qwen2" || flag_or(j, "attention_bias", false);
  c.output_bias = type != "qwen2" && c.attention_bias;
  c.feed_forward_bias = flag_or(j, "mlp_bias", false);
  c.tied_head = flag_or(j, "tie_word_embeddings", false);
  refuse(j, "use_sliding_window", flag_or(j, "use_sliding_window", false));
  // Within Mistral's window of attention there is no window; transformers' default is 4096.
  const int64_t window = type != "mistral"               ? 0
                         : !j.contains("sliding_window") ? 4096
                                                         : find_int(j, "sliding_window", 1, kMost).value_or(0);
  if (window && (c.max_positions == 0 || window < c.max_positions)) c.max_positions = window;
  const float attention = number_or(j, "attention_dropout", 0);
  c.dropout = {0, attention, 0, 0};
}

void read_bert(const json& j, ModelConfig& c, const WeightFile& weights) {
  c.vocabulary = size(j, "vocab_size"), c.width = size(j, "hidden_size");
  const int64_t heads = size(j, "num_attention_heads");
  c.encoder = {size(j, "num_hidden_layers"), heads, heads,
               quotient(c.width, "hidden_size", heads, "num_attention_heads"), size(j, "intermediate_size")};
  c.epsilon = epsilon_or(j, "layer_norm_eps", 1e-12);
  c.norm_first = false, c.embedding_norm = true, c.final_norm = false, c.fixed_pad = true;
  c.position_offset = c.family == "roberta" ? size_or(j, "pad_token_id", 1) + 1 : 0;
  c.max_positions = size(j, "max_position_embeddings") - c.position_offset;
  c.token_types = size_or(j, "type_vocab_size", 2);
  c.activation = activation_named(find_string(j, "hidden_act").value_or("gelu"));
  const std::string kind = find_string(j, "position_embedding_type").value_or("absolute");
  check_input(kind == "absolute", "position_embedding_type \"", kind, "\" is not supported");
  refuse(j, "is_decoder", flag_or(j, "is_decoder", false));
  const auto any = [&](const char* part) {
    return std::any_of(weights.entries().begin(), weights.entries().end(),
                       [&](const auto& e) { return e.first.find(part) != std::string::npos; });
  };
  c.pooler = any("pooler.dense.");
  c.language_head = any("cls.predictions.transform.") || any("lm_head.dense.");
  c.head_transform = c.head_bias = c.language_head;
  for (const char* name : {"classifier.weight", "classifier.out_proj.weight"})
    if (weights.has(name)) c.classes = weights.shape(name)[0];
  const float hidden = number_or(j, "hidden_dropout_prob", 0.1);
  c.dropout = {hidden, number_or(j, "attention_probs_dropout_prob", 0.1), hidden, 0};
}

void read_t5(const json& j, ModelConfig& c, const WeightFile& weights) {
  c.vocabulary = size(j, "vocab_size"), c.width = size(j, "d_model");
  const int64_t heads = size(j, "num_heads"), head_size = size(j, "d_kv"), inner = size(j, "d_ff"),
                layers = size(j, "num_layers");
  c.encoder = {layers, heads, heads, head_size, inner};
  c.decoder = {size_or(j, "num_decoder_layers", layers), heads, heads, head_size, inner};
  c.norm = NormKind::rms, c.epsilon = epsilon_or(j, "layer_norm_epsilon", 1e-6);
  c.positions = PositionKind::relative, c.attention_scale = 1;
  c.relative_buckets = size_or(j, "relative_attention_num_buckets", 32);
  c.relative_distance = size_or(j, "relative_attention_max_distance", 128);
  c.attention_bias = c.output_bias = c.feed_forward_bias = false;
  const std::string kind = find_string(j, "feed_forward_proj").value_or("relu");
  c.gated = kind.starts_with("gated-");
  const std::string act = c.gated ? kind.substr(6) : kind;
  c.activation =
      activation_named(c.gated && act == "gelu" ? "gelu_new" : act);  // T5 1.1's "gated-gelu" means the tanh form
  // transformers 5 writes tie_word_embeddings true for all T5 and tells the two kinds apart by scale_decoder_outputs.
  const bool scaled = flag_or(j, "scale_decoder_outputs", c.tied_head);
  c.tied_head = scaled || !weights.has("lm_head.weight");
  if (scaled) c.head_scale = 1 / std::sqrt(float(c.width));
  const float p = number_or(j, "dropout_rate", 0.1);
  c.dropout = {p, p, p, p};
}

void read_bart(const json& j, ModelConfig& c) {
  c.vocabulary = size(j, "vocab_size"), c.width = size(j, "d_model");
  const auto stack = [&](const char* layers, const char* heads, const char* inner) {
    const int64_t h = size(j, heads);
    return StackShape{size(j, layers), h, h, quotient(c.width, "d_model", h, heads), size(j, inner)};
  };
  c.encoder = stack("encoder_layers", "encoder_attention_heads", "encoder_ffn_dim");
  c.decoder = stack("decoder_layers", "decoder_attention_heads", "decoder_ffn_dim");
  c.norm_first = false, c.embedding_norm = true, c.final_norm = false, c.fixed_pad = true;
  c.position_offset = 2, c.max_positions = size(j, "max_position_embeddings");
  c.activation = activation_named(find_string(j, "activation_function").value_or("gelu"));
  if (flag_or(j, "scale_embedding", false)) c.embedding_scale = std::sqrt(float(c.width));
  c.head_bias = true;
  const float p = number_or(j, "dropout", 0.1);
  c.dropout = {p, number_or(j, "attention_dropout", 0), p, number_or(j, "activation_dropout", 0)};
}

}  // namespace

ModelConfig read_huggingface_config(const std::string& directory, const WeightFile& weights) {
  const std::string path = directory + "/config.json";
  const json j = parse_json_file(path);
  ModelConfig c = reading(path, [&] {
    const std::string type = get_string(j, "model_type");
    ModelConfig config;
    config.family = type == "mistral" || type == "qwen2" ? "llama" : type;
    config.tied_head = flag_or(j, "tie_word_embeddings", true);
    config.bos = id(j, "bos_token_id"), config.pad = id(j, "pad_token_id"), config.eos = ids(j, "eos_token_id");
    config.decoder_start = id(j, "decoder_start_token_id");
    config.forced_bos = id(j, "forced_bos_token_id"), config.forced_eos = id(j, "forced_eos_token_id");
    if (config.family == "gpt2") read_gpt2(j, config);
    else if (config.family == "llama") read_llama(j, config, type);
    else if (type == "bert" || type == "roberta") read_bert(j, config, weights);
    else if (type == "t5") read_t5(j, config, weights);
    else if (type == "bart") read_bart(j, config);
    else
      throw InputError(text("model_type \"", type,
                            "\" is not supported; gpt2, llama, mistral, qwen2, bert, roberta, t5 and bart are"));
    config.check();
    return config;
  });
  // Generation stops at the end tokens of generation_config.json, where it has some.
  const std::string generation = directory + "/generation_config.json";
  if (file_exists(generation)) {
    const json g = parse_json_file(generation);
    reading(generation, [&] {
      if (const auto eos = ids(g, "eos_token_id"); !eos.empty()) c.eos = eos;
      if (const auto start = id(g, "decoder_start_token_id")) c.decoder_start = start;
      if (const auto first = id(g, "forced_bos_token_id")) c.forced_bos = first;
      if (const auto last = id(g, "forced_eos_token_id")) c.forced_eos = last;
      c.check();
    });
  }
  return c;
}

ModelConfig read_gguf_config(const GgufFile& file) {
  return reading(file.path(), [&] {
    const GgufValues& v = file.values();
    const std::string architecture = v.get_string("general.architecture");
    check_input(architecture == "llama" || architecture == "gpt2", "the architecture \"", architecture,
                "\" is not supported; llama and gpt2 are");
    const auto key = [&](const char* name) { return architecture + "." + name; };
    ModelConfig c;
    c.family = architecture;
    check_input(file.has("token_embd.weight") && file.shape("token_embd.weight").rank() == 2,
                "there is no matrix token_embd.weight");
    c.vocabulary = file.shape("token_embd.weight")[0];
    c.width = v.get_int(key("embedding_length"), 1, kMost);
    const int64_t heads = v.get_int(key("attention.head_count"), 1, kMost);
    c.decoder = {v.get_int(key("block_count"), 1, kMost), heads,
                 v.find_int(key("attention.head_count_kv"), 1, kMost).value_or(heads), 0,
                 v.get_int(key("feed_forward_length"), 1, kMost)};
    c.decoder.head_size = v.find_int(key("attention.key_length"), 1, kMost).value_or(0);
    if (!c.decoder.head_size)
      c.decoder.head_size = quotient(c.width, "embedding_length", heads, "attention.head_count");
    c.max_positions = v.get_int(key("context_length"), 1, kMost);
    c.tied_head = !file.has("output.weight");
    if (architecture == "gpt2") {
      c.fused_attention = true, c.activation = Activation::gelu_tanh;
      c.epsilon = float(v.get_number(key("attention.layer_norm_epsilon"), 0, 1));
    } else {
      c.norm = NormKind::rms, c.epsilon = float(v.get_number(key("attention.layer_norm_rms_epsilon"), 0, 1));
      c.positions = PositionKind::rotary;
      c.rotary_base = v.find_number(key("rope.freq_base")).value_or(10000);
      c.rotary_size = v.find_int(key("rope.dimension_count"), 2, kMost).value_or(c.decoder.head_size);
      check_input(c.rotary_size == c.decoder.head_size && c.rotary_size % 2 == 0, key("rope.dimension_count"), " is ",
                  c.rotary_size, ", a head has ", c.decoder.head_size,
                  " numbers: rotating a part of them, or an odd "
                  "number, is not supported in GGUF files");
      c.activation = Activation::silu, c.gated = true;
      c.attention_bias = file.has("blk.0.attn_q.bias");
      c.output_bias = file.has("blk.0.attn_output.bias"), c.feed_forward_bias = false;
      check_input(!v.has(key("rope.scaling.type")) || v.get_string(key("rope.scaling.type")) == "none",
                  "rotary scaling in GGUF files is not supported");
      if (file.has("rope_freqs.weight")) {  // Llama 3.1's scaling: what each frequency is divided by
        const Tensor divisors = file.read("rope_freqs.weight").to(DType::f32);
        check_input(std::ranges::all_of(divisors.span<float>(), [](float x) { return x == 1; }),
                    "rope_freqs.weight scales rotations, which is not supported in GGUF files; convert the model from "
                    "its Hugging Face directory");
      }
    }
    const auto special = [&](const char* name) -> std::optional<int32_t> {
      const auto found = v.find_int(std::string("tokenizer.ggml.") + name, 0, c.vocabulary - 1);
      return found ? std::optional(int32_t(*found)) : std::nullopt;
    };
    c.bos = special("bos_token_id"), c.pad = special("padding_token_id");
    if (const auto eos = special("eos_token_id")) c.eos = {*eos};
    c.check();
    return c;
  });
}

}  // namespace cambium
