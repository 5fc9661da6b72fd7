#include "tuning/peft/directory.h"

#include <algorithm>
#include <set>

#include "core/json.h"
#include "tuning/methods.h"
#include "tuning/options.h"
#include "tuning/sites.h"

namespace cambium::peft {
namespace {

using nlohmann::json;

bool is_off(const json& value) {
  return value.is_null() || value == json(false) || value == json("none") || value == json(0) ||
         ((value.is_structured() || value.is_string()) && value.empty());
}

}  // namespace

void TensorPlan::add(const std::string& tensor, const NamedParameter& to, bool flat, bool turned) {
  if (!file_.has(tensor)) {
    errors_.missing.push_back(tensor);
    return;
  }
  Tensor value = file_.read(tensor);
  const Shape needed = to.value().shape();
  if (turned && value.shape().rank() == 2) value = transposed(value.to(DType::f32));
  if (flat && value.size() == needed.size()) value = value.reshape(needed);
  add_value(tensor, to, value);
}

void TensorPlan::add_value(const std::string& tensor, const NamedParameter& to, const Tensor& value) {
  taken_.push_back(tensor);
  const Shape needed = to.value().shape();
  if (value.shape() == needed) copies_.push_back({value, to});
  else errors_.misshaped.push_back(text(tensor, " ", value.shape(), " instead of ", needed));
}

void TensorPlan::write() {
  const std::set<std::string> taken(taken_.begin(), taken_.end());
  for (const std::string& name : file_.names())
    if (!taken.count(name)) errors_.extra.push_back(name);
  errors_.check(kWeights, "tensors");
  for (const Copy& c : copies_) {
    const Tensor place = c.to.value();
    place.copy_from(c.value.to(place.dtype()).to(place.device()));
  }
}

Directory::Directory(const std::string& path)
    : config(parse_json_file(path + "/" + kConfig)), weights(path + "/" + kWeights) {}

void Directory::check_fields(const KnownFields& known) const {
  constexpr const char* kEverywhere[] = {"auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type",
                                         "peft_version", "revision", "task_type"};
  check_input(config.is_object(), kConfig, " is no object");
  std::set<std::string> names(std::begin(kEverywhere), std::end(kEverywhere));
  names.insert(known.used.begin(), known.used.end());
  names.insert(known.harmless.begin(), known.harmless.end());
  for (const auto& [field, value] : config.items())
    check_input(names.count(field) || is_off(value), kConfig, ": ", field, " = ", brief(value, 100),
                " cannot be computed here; the tuner was not loaded");
}

std::vector<const Module*> Reading::chosen(bool Module::*kind, const char* of_kind) const {
  const Chosen choice(files.config);
  std::vector<const Module*> all;
  for (const Module& m : modules.all()) {
    if (!choice.has(m)) continue;
    check_input(m.*kind, kConfig, ": target_modules: ", m.name(), " is no ", of_kind,
                "; what it does there cannot be computed here");
    all.push_back(&m);
  }
  check_input(!all.empty(), kConfig, ": target_modules = ", brief(files.config.value("target_modules", json()), 100),
              " matches no ", of_kind, " of this model: it belongs to another base");
  return all;
}

std::string tensor_of_base(const WeightFile& file, const ModelConfig& config, const NameRule& rule) {
  for (const std::string& foreign : spellings(config.family, rule.foreign)) {
    const size_t dot = foreign.rfind('.');
    const std::string stem = std::string(kModel) + foreign.substr(0, dot), last = foreign.substr(dot);
    for (const char* between : {"", ".base_layer", ".ln_tuning_layers"})
      if (file.has(stem + between + last)) return stem + between + last;
  }
  return "";
}

namespace {

// Whether a parameter lies in one of the modules: PEFT looks at how the modules' names end, dot or not.
bool lies_in(const std::string& parameter, const std::vector<std::string>& modules) {
  for (size_t dot = parameter.find('.'); dot != parameter.npos; dot = parameter.find('.', dot + 1)) {
    const std::string module = parameter.substr(0, dot);
    if (std::any_of(modules.begin(), modules.end(), [&](const std::string& m) { return module.ends_with(m); })) return true;
  }
  return false;
}

bool is_of_head(const std::string& ours) { return ours.starts_with("classifier."); }

// The model gets the classification head that the file brings, if it has none.
void add_head(Reading& r) {
  std::vector<std::string> added;
  for (const char* name : {"classifier.weight", "classifier.out_proj.weight"}) {
    const std::string tensor = std::string(kModel) + name;
    if (r.plan.has(tensor) && !r.model.classifier) added = r.model.add_classifier(r.files.weights.shape(tensor)[0], 0);
  }
  if (added.empty()) return;
  const auto rules = huggingface_names(r.model.config());
  for (const NamedParameter& p : r.model.parameters())
    for (const std::string& prefix : added) {
      if (!p.name.starts_with(prefix)) continue;
      const auto rule = std::find_if(rules.begin(), rules.end(), [&](const NameRule& n) { return n.ours == p.name; });
      check_input(rule != rules.end() && !tensor_of_base(r.files.weights, r.model.config(), *rule).empty(), kWeights,
                  ": the base has no ", p.name, ", and the adapter does not bring it: give the base with its "
                  "classification head");
    }
}

// A head and a table that are one here were two there.
void check_untied(const Reading& r, const std::vector<std::string>& saved) {
  if (!r.model.config().tied_head || saved.empty()) return;
  for (const std::string& tensor : r.files.weights.names())
    for (const char* table : {"lm_head", "embed_tokens", "wte", "shared", "word_embeddings"})
      check_input(tensor.find(text(".", table, ".weight")) == tensor.npos, kWeights, ": ", tensor,
                  " was trained whole, but in this base head and embedding are one matrix: they became two, which "
                  "cannot be computed here");
}

}  // namespace

std::vector<std::string> plan_trained_base(Reading& r, const std::vector<const Module*>& adapted) {
  const std::vector<std::string> saved = find_names(r.files.config, "modules_to_save");
  const std::string bias = reading(kConfig, [&] { return find_string(r.files.config, "bias").value_or("none"); });
  check_input(bias == "none" || bias == "all" || bias == "lora_only", kConfig, ": bias = ", brief(json(bias)),
              " is none of none, all, lora_only");
  if (!saved.empty()) add_head(r);
  check_untied(r, saved);
  std::set<std::string> of_adapted;
  for (const Module* m : adapted) of_adapted.insert(m->ours + ".bias");

  std::map<std::string, NamedParameter> parameters;
  for (const NamedParameter& p : r.model.parameters()) parameters.emplace(p.name, p);
  std::vector<std::string> trained;
  for (const NameRule& rule : huggingface_names(r.model.config())) {
    const auto place = parameters.find(rule.ours);
    if (place == parameters.end() || place->second.parameter->buffer) continue;
    const bool by_bias = bias == "all" ? rule.foreign.find("bias") != std::string::npos
                                       : bias == "lora_only" && of_adapted.count(rule.ours);
    const bool by_module = lies_in(rule.foreign, saved);
    if (!by_bias && !by_module) continue;
    const std::string tensor = tensor_of_base(r.files.weights, r.model.config(), rule);
    // A base without heads saves none; a directory of a model below them has no place for their biases.
    if (tensor.empty() && (is_of_head(rule.ours) || (by_bias && rule.ours.starts_with("head.")))) continue;
    r.plan.add(tensor.empty() ? std::string(kModel) + rule.foreign : tensor, place->second, false,
               rule.relayout == Relayout::transpose);
    if (!is_of_head(rule.ours)) trained.push_back(rule.ours);  // heads train anyway
  }
  return trained;
}

NamedParameter Made::parameter(const std::string& name) const {
  return parameter_named(tuner->parameters(), beginning + name);
}

Made make_with_base(Reading& r, const std::string& method, const OptionMap& options,
                    const std::vector<std::string>& trained) {
  const TunerContext context{.model = r.model, .initialize = false};
  if (trained.empty()) return {make_tuner(method, options, context), ""};
  std::set<std::string> biases;
  for (const NamedParameter& p : r.model.parameters())
    if (p.name.ends_with(".bias") && !p.parameter->buffer && !is_of_head(p.name)) biases.insert(p.name);
  OptionMap all;
  for (const auto& [name, value] : options) all[method + "." + name] = value;
  const bool is_bitfit = std::set<std::string>(trained.begin(), trained.end()) == biases;
  if (!is_bitfit) all["full.only"] = listed(trained, ",");
  return {make_tuner(method + (is_bitfit ? "+bitfit" : "+full"), all, context), "0."};
}

}  // namespace cambium::peft
