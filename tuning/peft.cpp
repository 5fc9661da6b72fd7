#include "tuning/peft.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/files.h"
#include "core/json.h"
#include "models/files/safetensors.h"
#include "models/import/names.h"
#include "tuning/methods.h"
#include "tuning/options.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr const char *kConfig = "adapter_config.json", *kWeights = "adapter_model.safetensors";
constexpr std::string_view kModel = "base_model.model.";  // before transformers' names

struct PeftFiles {
  json config;
  SafetensorsFile weights;
};

// With what is in it: names of modules tell more than their number.
std::string shown(const json& value) {
  return value.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 100);
}

// Fields that must be absent, null, false, empty, zero or "none": what they switch on, ours does not compute.
void refuse(const PeftFiles& files, std::initializer_list<const char*> fields) {
  for (const char* field : fields) {
    const json* value = find_field(files.config, field);
    check_input(!value || *value == json(false) || *value == json("none") || *value == json(0) ||
                    (value->is_structured() && value->empty()),
                kConfig, ": ", field, " = ", value ? shown(*value) : "",
                " cannot be computed here; the tuner was not loaded");
  }
}

void set(const Parameter& p, const Tensor& value, const std::string& what) {
  check_input(p.value.shape() == value.shape(), what, " is ", value.shape(), ", needed is ", p.value.shape());
  p.value.copy_from(value.to(p.value.dtype()).to(p.value.device()));
}

Parameter& parameter_of(Tuner& tuner, const std::string& name) {
  for (const NamedParameter& p : tuner.parameters())
    if (p.name == name) return *p.parameter;
  throw Error(text("the tuner has no parameter ", name));
}

// transformers' modules (without ".weight") to ours, in all their spellings.
std::map<std::string, std::string> module_names(const ModelConfig& config) {
  std::map<std::string, std::string> names;
  constexpr std::string_view kWeight = ".weight";
  for (const NameRule& rule : huggingface_names(config)) {
    if (!rule.ours.ends_with(kWeight)) continue;
    const std::string ours = rule.ours.substr(0, rule.ours.size() - kWeight.size());
    for (const std::string& foreign : spellings(config.family, rule.foreign))
      if (foreign.ends_with(kWeight)) names[foreign.substr(0, foreign.size() - kWeight.size())] = ours;
  }
  return names;
}

// Our name of a LoRA tensor, "decoder.layers.0.self_attention.query.lora_a".
std::string lora_name(const std::string& tensor, const std::map<std::string, std::string>& modules) {
  for (const auto& [end, side] : {std::pair{".lora_A.weight", ".lora_a"}, {".lora_B.weight", ".lora_b"}}) {
    if (!tensor.starts_with(kModel) || !tensor.ends_with(end)) continue;
    const std::string module =
        tensor.substr(kModel.size(), tensor.size() - kModel.size() - std::string_view(end).size());
    const auto found = modules.find(module);
    check_input(found != modules.end() && found->second.find(".layers.") != std::string::npos, kWeights, ": ", module,
                " is no product of a layer of this model");
    return found->second + side;
  }
  throw InputError(text(kWeights, ": ", tensor, " is no matrix of LoRA"));
}

// transformers' name of a tensor of a module that was trained whole (modules_to_save), or "".
std::string saved_whole(const std::string& tensor, const std::vector<std::string>& modules) {
  if (!tensor.starts_with(kModel)) return "";
  const std::string name = tensor.substr(kModel.size());
  for (const std::string& module : modules)
    if (name.starts_with(module + ".") || name.find("." + module + ".") != name.npos) return name;
  return "";
}

// Writes a classification head that was trained whole into the model, which gets one where it has none. Of an
// adapter's other modules the base's own are not replaced: they are refused by name.
void load_head(const PeftFiles& files, Model& model, const std::map<std::string, std::string>& saved) {
  if (saved.empty()) return;
  std::vector<std::string> added;
  for (const auto& [foreign, tensor] : saved) {
    check_input(foreign.starts_with("classifier."), kConfig, ": modules_to_save: ", foreign,
                " was trained whole and cannot be computed here; of such modules a classification head (classifier) "
                "can be read");
    const bool output = foreign == "classifier.weight" || foreign == "classifier.out_proj.weight";
    if (output && !model.classifier) added = model.add_classifier(files.weights.shape(tensor)[0], 0);
  }
  std::map<std::string, std::string> ours;
  for (const NameRule& rule : huggingface_names(model.config())) ours[rule.foreign] = rule.ours;
  std::set<std::string> written;
  for (const auto& [foreign, tensor] : saved) {
    const auto found = ours.find(foreign);
    check_input(found != ours.end(), kWeights, ": ", tensor, " is no part of this model's classification head");
    for (const NamedParameter& p : model.parameters()) {
      if (p.name != found->second) continue;
      const Tensor value = files.weights.read(tensor), place = p.value();
      check_input(place.shape() == value.shape(), kWeights, ": ", tensor, " is ", value.shape(), ", the model's head ",
                  place.shape());
      place.copy_from(value.to(place.dtype()).to(place.device()));
      written.insert(p.name);
    }
  }
  for (const NamedParameter& p : model.parameters())
    for (const std::string& prefix : added)
      check_input(!p.name.starts_with(prefix) || written.count(p.name), kWeights, ": the base has no ", p.name,
                  ", and the adapter does not bring it: give the base with its classification head");
}

struct LoraFields {
  int64_t rank;
  double alpha, dropout;

  explicit LoraFields(const json& config)
      : rank(get_int(config, "r", 1, 65536)), alpha(get_number(config, "lora_alpha", 1e-6, 1e6)),
        dropout(find_number(config, "lora_dropout", 0, 0.999).value_or(0)) {
    if (find_bool(config, "use_rslora").value_or(false))
      alpha *= std::sqrt(double(rank));  // its scale is alpha / sqrt(rank)
  }
};

// PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA take their first A and B out of the base's weights: the matrices belong to
// what is left of them, which the directory does not hold. (Their configurations alone, lora_ga_config and the like, do
// nothing, and stay behind when such an adapter was converted.)
void check_initialization(const PeftFiles& files) {
  const json* value = find_field(files.config, "init_lora_weights");
  if (!value || value->is_boolean()) return;
  std::string name = value->is_string() ? value->get<std::string>() : "";
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  check_input(name == "gaussian" || name == "eva" || name == "orthogonal" || name == "mica", kConfig,
              ": init_lora_weights = ", brief(*value),
              " changed the base's weights, which are not here; the tuner was not loaded.\nSave it with PEFT's "
              "save_pretrained(..., path_initial_model_for_weight_conversion=...), which makes it an adapter of the "
              "unchanged base");
}

std::unique_ptr<Tuner> load_lora(const PeftFiles& files, Model& model) {
  refuse(files, {"use_dora", "use_qalora", "use_bdlora", "bias", "lora_bias", "rank_pattern", "alpha_pattern",
                 "layer_replication", "trainable_token_indices", "target_parameters", "alora_invocation_tokens",
                 "arrow_config", "kasa_config", "velora_config", "monteclora_config"});
  check_initialization(files);
  const LoraFields f = reading(kConfig, [&] { return LoraFields(files.config); });

  std::vector<std::string> whole;
  if (find_field(files.config, "modules_to_save"))
    whole = reading(kConfig, [&] { return get_strings(files.config, "modules_to_save"); });
  for (const std::string& module : whole)  // PEFT adds both names to every classifier's
    check_input(module == "classifier" || module == "score", kConfig, ": modules_to_save: ", module,
                " was trained whole and cannot be computed here; of such modules a classification head (classifier) "
                "can be read");
  std::map<std::string, std::string> saved;  // transformers' name -> tensor
  for (const std::string& tensor : files.weights.names())
    if (const std::string name = saved_whole(tensor, whole); !name.empty()) saved[name] = tensor;
  load_head(files, model, saved);

  const auto modules = module_names(model.config());
  std::map<std::string, std::string> place;  // ours -> tensor
  std::set<std::string> targets;
  for (const std::string& tensor : files.weights.names()) {
    if (!saved_whole(tensor, whole).empty()) continue;
    const std::string name = lora_name(tensor, modules);
    check_input(place.emplace(name, tensor).second, kWeights, ": ", tensor, " is there twice");
    const std::string module = name.substr(0, name.rfind('.'));
    targets.insert(module.substr(module.rfind('.') + 1));
  }
  check_input(!targets.empty(), kWeights, " holds no tensors");
  auto tuner = make_tuner("lora",
                          {{"rank", std::to_string(f.rank)},
                           {"alpha", print_number(f.alpha)},
                           {"targets", listed(targets, ",")},
                           {"dropout", print_number(f.dropout)}},
                          {.model = model, .initialize = false});
  for (const auto& [name, tensor] : place) {
    const std::string other = name.substr(0, name.size() - 1) + (name.ends_with("a") ? "b" : "a");
    check_input(place.count(other), kWeights, ": ", tensor, " has no counterpart");
    set(parameter_of(*tuner, name), files.weights.read(tensor), text(kWeights, ": ", tensor));
  }
  return tuner;
}

// The one tensor of prompts and prefixes.
Tensor embeddings(const PeftFiles& files) {
  check_input(files.weights.names() == std::vector<std::string>{"prompt_embeddings"}, kWeights,
              ": a single tensor prompt_embeddings is needed");
  const Tensor rows = files.weights.read("prompt_embeddings");
  check_input(rows.shape().rank() == 2, kWeights, ": prompt_embeddings is ", rows.shape(), ", needed are rows");
  return rows;
}

int64_t virtual_tokens(const PeftFiles& files) {
  return reading(kConfig, [&] { return get_int(files.config, "num_virtual_tokens", 1, 1 << 20); });
}

std::unique_ptr<Tuner> load_prompt(const PeftFiles& files, Model& model) {
  refuse(files, {"modules_to_save"});
  const int64_t length = virtual_tokens(files);
  const int64_t copies =
      reading(kConfig, [&] { return find_int(files.config, "num_transformer_submodules", 1, 2).value_or(1); });
  const Tensor rows = embeddings(files);
  // Of an encoder and decoder PEFT stores twice as many as it uses.
  check_input(rows.rows() == length * copies, kWeights, ": prompt_embeddings is ", rows.shape(), ", needed are ",
              length * copies, " rows");
  const std::string where = model.config().encoder.layers ? "encoder" : "decoder";
  auto tuner = make_tuner("prompt", {{"length", std::to_string(length)}, {"init", "random"}, {"where", where}},
                          {.model = model, .initialize = false});
  set(parameter_of(*tuner, where + ".prompt"), rows.rows(0, length), text(kWeights, ": prompt_embeddings"));
  return tuner;
}

std::unique_ptr<Tuner> load_prefix(const PeftFiles& files, Model& model) {
  refuse(files, {"modules_to_save"});
  const ModelConfig& config = model.config();
  check_input(!config.encoder.layers, kConfig,
              ": PEFT's prefixes of models with an encoder share and skip layers; only those of decoders can be read");
  const int64_t P = virtual_tokens(files), blocks = config.decoder.layers * 2, width = config.decoder.kv_width();
  const Tensor rows = embeddings(files).to(DType::f32);
  check_input((rows.shape() == Shape{P, blocks * width}), kWeights, ": prompt_embeddings is ", rows.shape(),
              ", needed is ", Shape{P, blocks * width});
  auto tuner = make_tuner("prefix", {{"length", std::to_string(P)}, {"init", "random"}, {"sites", "decoder"}},
                          {.model = model, .initialize = false});
  Parameter& p = parameter_of(*tuner, "decoder.prefix");
  Tensor turned = Tensor::empty(p.value.shape(), DType::f32);  // [layers, 2, P, kv_heads, head_size]
  for (int64_t b = 0; b < blocks; ++b)
    for (int64_t t = 0; t < P; ++t)
      std::copy_n(rows.data<float>() + (t * blocks + b) * width, width, turned.data<float>() + (b * P + t) * width);
  set(p, turned, text(kWeights, ": prompt_embeddings"));
  return tuner;
}

}  // namespace

bool is_peft_adapter(const std::string& path) {
  return is_directory(path) && file_exists(path + "/adapter_config.json");
}

std::unique_ptr<Tuner> load_peft_adapter(const std::string& path, Model& model) {
  const PeftFiles files{parse_json_file(path + "/" + kConfig), SafetensorsFile(path + "/" + kWeights)};
  return reading(path, [&] {
    const std::string type = reading(kConfig, [&] { return get_string(files.config, "peft_type"); });
    if (type == "LORA") return load_lora(files, model);
    if (type == "PROMPT_TUNING") return load_prompt(files, model);
    if (type == "PREFIX_TUNING") return load_prefix(files, model);
    throw InputError(text(kConfig, ": peft_type ", type, " cannot be read; LORA, PROMPT_TUNING and PREFIX_TUNING can"));
  });
}

}  // namespace cambium
