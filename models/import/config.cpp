// Hugging Face's config.json, with generation_config.json's tokens.
#include "models/import/config.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "models/import/class_defaults.h"
#include "models/import/names.h"
#include "models/import/notes.h"

namespace cambium {

int64_t quotient(int64_t width, const char* width_name, int64_t heads, const char* heads_name) {
  check_input(heads > 0 && width % heads == 0, "a width (", width_name, ") of ", width, " cannot be shared by ", heads,
              " heads (", heads_name, ")");
  return width / heads;
}

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
float epsilon_or(const json& j, const char* name, double fallback) {
  const double value = find_number(j, name).value_or(fallback);
  check_input(value > 0 && value < 1, name, " is ", value, "; it must lie between 0 and 1");
  return float(value);
}

Activation activation_named(const std::string& name) {
  if (name == "relu") return Activation::relu;
  if (name == "gelu" || name == "gelu_python") return Activation::gelu;
  for (const char* tanh : {"gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu_python_tanh", "gelu_accurate"})
    if (name == tanh) return Activation::gelu_tanh;
  if (name == "silu" || name == "swish") return Activation::silu;
  throw InputError(text("the activation \"", name, "\" is not supported; relu, gelu, gelu_new and silu are"));
}

// Tokens of a model; some files name ones outside its vocabulary.
std::vector<int32_t> ids(const json& j, const char* name) {
  constexpr int64_t kLeast = std::numeric_limits<int32_t>::min(), kLargest = std::numeric_limits<int32_t>::max();
  const json* field = find_field(j, name);
  if (!field) return {};
  std::vector<int32_t> all;
  if (!field->is_array()) return {int32_t(get_int(j, name, kLeast, kLargest))};
  for (const int64_t id : get_ints(j, name, kLeast, kLargest)) all.push_back(int32_t(id));
  return all;
}

std::optional<int32_t> id(const json& j, const char* name) {
  const std::vector<int32_t> all = ids(j, name);
  if (all.size() > 1) throw InputError(text(name, " = ", brief(*find_field(j, name)), ": one token is supported"));
  return all.empty() ? std::nullopt : std::optional(all.front());
}

void not_used(const json& j, const char* name, const char* instead) {
  note_once(text("note: config.json: ", name, " = ", brief(*find_field(j, name)), " is not used: ", instead));
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

// rope_parameters since transformers 5, rope_theta and rope_scaling before. Where both are there rope_scaling counts,
// and what either lacks stands beside it.
void read_rotary(const json& j, ModelConfig& c) {
  const json* rope = nullptr;
  for (const char* name : {"rope_parameters", "rope_scaling"})
    if (const json* found = find_field(j, name); found && !found->empty()) rope = &get_object(j, name);
  const auto number = [&](const char* name) {
    const auto inside = rope ? find_number(*rope, name) : std::nullopt;
    return inside ? inside : find_number(j, name);
  };
  c.rotary_base = number("rope_theta").value_or(10000);
  c.rotary_size = c.decoder.head_size;
  const double share = number("partial_rotary_factor").value_or(1);
  check_input(share == 1, "partial_rotary_factor = ", share, " is not supported");
  if (!rope) return;
  for (const auto& [name, value] : rope->items())
    check_input(!value.is_object(), "rotations of each kind of layer (\"", name, "\") are not supported");
  const std::string type = find_string(*rope, "rope_type").value_or(find_string(*rope, "type").value_or("default"));
  if (type == "default") return;
  check_input(type == "llama3", "rotary scaling of type \"", type, "\" is not supported; llama3 is");
  const char* original = "original_max_position_embeddings";
  const json& place = find_field(j, original) || !find_field(*rope, original) ? j : *rope;
  c.rotary_scaling = {get_number(*rope, "factor", 1, 1e6), get_number(*rope, "low_freq_factor", 1e-3, 1e6),
                      get_number(*rope, "high_freq_factor", 1e-3, 1e6),
                      get_number(place, find_field(place, original) ? original : "max_position_embeddings", 1, 1e9)};
}

// The window of attention; 0: every token sees all before it.
int64_t window_of(const json& j, const std::string& type, int64_t layers) {
  if (type == "mistral") return find_int(j, "sliding_window", 1, kMost).value_or(0);
  if (type != "qwen2") return 0;
  const bool used = flag_or(j, "use_sliding_window", false);
  bool some = size_or(j, "max_window_layers", 28) < layers;
  if (find_field(j, "layer_types")) {
    const std::vector<std::string> kinds = get_strings(j, "layer_types");
    for (const std::string& kind : kinds)
      check_input(kind == "full_attention" || (used && kind == "sliding_attention"), "layers of the type \"", kind,
                  "\" are not supported here");
    some = std::count(kinds.begin(), kinds.end(), "sliding_attention") > 0;
  }
  return used && some ? find_int(j, "sliding_window", 1, kMost).value_or(0) : 0;
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
  c.attention_bias = type == "qwen2" || (type == "llama" && flag_or(j, "attention_bias", false));
  c.output_bias = type == "llama" && c.attention_bias;
  c.feed_forward_bias = type == "llama" && flag_or(j, "mlp_bias", false);
  c.tied_head = flag_or(j, "tie_word_embeddings", false);
  // Sequences no longer than the window know nothing of it.
  const int64_t window = window_of(j, type, c.decoder.layers);
  if (window && (c.max_positions == 0 || window < c.max_positions)) c.max_positions = window;
  c.dropout = {0, number_or(j, "attention_dropout", 0), 0, 0};
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
  const auto any = [&](const char* part) {
    return std::any_of(weights.entries().begin(), weights.entries().end(),
                       [&](const auto& e) { return e.first.find(part) != std::string::npos; });
  };
  c.pooler = any("pooler.dense.");
  c.language_head = any("cls.predictions.transform.") || any("lm_head.dense.");
  c.head_transform = c.head_bias = c.language_head;
  // Of a whole sequence; a head that reads every token has no layer before it.
  const char* head = c.family == "roberta" ? "classifier.out_proj.weight" : "classifier.weight";
  if (weights.has(head) && weights.shape(head).rank() > 0 && (c.family == "roberta" || c.pooler))
    c.classes = weights.shape(head)[0];
  const float hidden = number_or(j, "hidden_dropout_prob", 0.1);
  if (const auto own = find_number(j, "classifier_dropout"); own && float(*own) != hidden && c.classes)
    not_used(j, "classifier_dropout", "training with dropout takes hidden_dropout_prob for the head, too");
  if (const std::string problem = find_string(j, "problem_type").value_or("single_label_classification");
      c.classes && problem != "single_label_classification")
    not_used(j, "problem_type", "training takes the cross entropy of classes");
  c.dropout = {hidden, number_or(j, "attention_probs_dropout_prob", 0.1), hidden, 0};
}

void read_t5(const json& j, ModelConfig& c) {
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
  const size_t dash = kind.find('-');
  check_input(dash == kind.npos || (kind.starts_with("gated-") && kind.rfind('-') == dash), "feed_forward_proj \"",
              kind, "\" is not supported");
  c.gated = flag_or(j, "is_gated_act", dash != kind.npos);
  // T5 1.1's "gated-gelu" means the tanh form.
  const std::string act = kind == "gated-gelu" ? "gelu_new" : dash == kind.npos ? kind : kind.substr(dash + 1);
  c.activation = activation_named(find_string(j, "dense_act_fn").value_or(act));
  // transformers 5 ties the head of every T5 whose file has none, and tells the two kinds apart by
  // scale_decoder_outputs.
  if (flag_or(j, "scale_decoder_outputs", c.tied_head)) c.head_scale = 1 / std::sqrt(float(c.width));
  c.tied_head = true;
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
  for (const char* name : {"encoder_layerdrop", "decoder_layerdrop"})
    if (number_or(j, name, 0) != 0) not_used(j, name, "training with dropout leaves out no layers");
  const float p = number_or(j, "dropout", 0.1);
  c.dropout = {p, number_or(j, "attention_dropout", 0), p, number_or(j, "activation_dropout", 0)};
}

// What changes results and has no place in a configuration here.
void refuse_unknown_kinds(const json& j, const std::string& type) {
  if (find_field(j, "quantization_config"))
    throw InputError(text("quantised weights (quantization_config: ",
                          find_string(get_object(j, "quantization_config"), "quant_method").value_or("without a name"),
                          ") are not supported in Hugging Face directories"));
  refuse(j, "per_layer_config", find_field(j, "per_layer_config") != nullptr);
  if (type == "bert" || type == "roberta" || type == "t5" || type == "bart")
    refuse(j, "is_decoder", flag_or(j, "is_decoder", false));
}

bool same_values(const WeightFile& weights, const std::string& a, const std::string& b) {
  if (!(weights.shape(a) == weights.shape(b))) return false;
  const Tensor x = weights.read(a).to(DType::f32), y = weights.read(b).to(DType::f32);
  return std::memcmp(x.raw(), y.raw(), size_t(x.bytes())) == 0;
}

// The names under which a file has one of our parameters.
std::vector<std::string> names_in(const WeightFile& weights, const ModelConfig& config, const std::string& ours) {
  std::vector<std::string> all;
  for (const NameRule& rule : huggingface_names(config))
    if (rule.ours == ours)
      for (const std::string& name : spellings(config.family, rule.foreign))
        if (weights.has(name)) all.push_back(name);
  return all;
}

// A head that the file has beside a tied one is used, as in transformers 5, where its numbers are others. Encoder and
// decoder read one table here: a file with two is refused.
void compare_tied(const WeightFile& weights, ModelConfig& config) {
  const std::vector<std::string> tables = names_in(weights, config, "embedding.weight");
  for (size_t i = 1; i < tables.size(); ++i)
    check_input(same_values(weights, tables[0], tables[i]), weights.path(), ": ", tables[0], " and ", tables[i],
                " differ: an encoder and a decoder with tables of their own are not supported");
  if (!config.tied_head || !config.language_head || tables.empty()) return;
  ModelConfig untied = config;
  untied.tied_head = false;
  const std::vector<std::string> heads = names_in(weights, untied, "head.weight");
  if (heads.empty() || same_values(weights, tables[0], heads[0])) return;
  config.tied_head = false;
  if (config.family != "t5" || config.head_scale != 1)
    note_once(text("note: ", weights.path(), ": the configuration ties the head to ", tables[0], ", but ", heads[0],
                   " is there and differs: the file's is used"));
}

// Generation's own tokens: of generation_config.json, or of config.json where that is not there.
void read_generation_ids(const json& g, ModelConfig& c) {
  if (const auto eos = ids(g, "eos_token_id"); !eos.empty()) c.eos = eos;
  if (const auto start = id(g, "decoder_start_token_id")) c.decoder_start = start;
  c.forced_bos = id(g, "forced_bos_token_id"), c.forced_eos = id(g, "forced_eos_token_id");
  if (!c.forced_bos && flag_or(g, "force_bos_token_to_be_generated", false)) c.forced_bos = c.bos;
}

}  // namespace

void note_ids_outside(const ModelConfig& c, const std::string& path) {
  std::vector<std::string> outside;
  const auto look = [&](const char* name, const std::optional<int32_t>& id) {
    if (id && (*id < 0 || *id >= c.vocabulary)) outside.push_back(text(name, " = ", *id));
  };
  look("bos_token_id", c.bos), look("pad_token_id", c.pad), look("decoder_start_token_id", c.decoder_start);
  look("forced_bos_token_id", c.forced_bos), look("forced_eos_token_id", c.forced_eos);
  for (const int32_t id : c.eos) look("eos_token_id", id);
  if (!outside.empty())
    note_once(text("warning: ", path, ": no row of the vocabulary's ", c.vocabulary, " is that of ", listed(outside),
                   "; what needs such a token will fail"));
}

ModelConfig read_huggingface_config(const std::string& directory, const WeightFile& weights) {
  const std::string path = directory + "/config.json", generation = directory + "/generation_config.json";
  const json file = parse_json_file(path);
  ModelConfig c = reading(path, [&] {
    const std::string type = get_string(file, "model_type");
    const json j = with_class_defaults(file, type);
    ModelConfig config;
    config.family = type == "mistral" || type == "qwen2" ? "llama" : type;
    config.tied_head = flag_or(j, "tie_word_embeddings", true);
    config.bos = id(j, "bos_token_id"), config.pad = id(j, "pad_token_id"), config.eos = ids(j, "eos_token_id");
    config.decoder_start = id(j, "decoder_start_token_id");
    refuse_unknown_kinds(j, type);
    if (config.family == "gpt2") read_gpt2(j, config);
    else if (config.family == "llama") read_llama(j, config, type);
    else if (type == "bert" || type == "roberta") read_bert(j, config, weights);
    else if (type == "t5") read_t5(j, config);
    else if (type == "bart") read_bart(j, config);
    else
      throw InputError(text("model_type \"", type,
                            "\" is not supported; gpt2, llama, mistral, qwen2, bert, roberta, t5 and bart are"));
    if (!file_exists(generation)) read_generation_ids(j, config);
    config.check();
    return config;
  });
  compare_tied(weights, c);
  if (file_exists(generation)) {
    const json g = parse_json_file(generation);
    reading(generation, [&] { read_generation_ids(g, c); });
  }
  note_ids_outside(c, directory);
  return c;
}

}  // namespace cambium
