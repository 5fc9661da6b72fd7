#include <algorithm>

#include "core/files.h"
#include "core/places.h"
#include "models/files/safetensors.h"
#include "tuning/compose.h"
#include "tuning/peft.h"
#include "tuning/peft/directory.h"
#include "tuning/peft/writing.h"
#include "tuning/sites.h"

namespace cambium {
namespace peft {
namespace {

using nlohmann::ordered_json;

constexpr const char* kVersion = "0.21.2";  // whose form this is

std::string task_type(const Model& model) {
  const ModelConfig& c = model.config();
  return c.is_seq2seq() ? "SEQ_2_SEQ_LM" : !c.is_encoder() ? "CAUSAL_LM" : c.classes ? "SEQ_CLS" : "FEATURE_EXTRACTION";
}

// With what stands beside a method: parameters of the base alone.
void check_beside(const Tuner& tuner) {
  const auto* composed = dynamic_cast<const Compose*>(&tuner);
  if (!composed) return;
  const auto& children = composed->children();
  for (size_t i = 1; i < children.size(); ++i)
    check_input(children[i].tuner->parameters().empty(), tuner.method(),
                " cannot be written for PEFT: an adapter there is one method, with biases and modules beside it");
}

}  // namespace

bool Writing::is_bare() const {
  const ModelConfig& c = model.config();
  return !c.language_head && !c.classes;
}

Writing::Place Writing::place_of(const std::string& projection) {
  Place place;
  for_each_product(model, [&](const Site& site, Dense& dense) {
    for (const Part& part : dense.parts) {
      if (path_of(site) + "." + part.name != projection) continue;
      place = {modules.with_ours(projection), 0, part.end - part.begin, part.end - part.begin};
      if (!place.module)
        place = {modules.with_ours(path_of(site) + ".query_key_value"), part.begin, part.end, dense.weight.value.rows()};
    }
    if (dense.parts.size() == 3 && path_of(site) + ".query_key_value" == projection)
      place = {modules.with_ours(projection), 0, dense.weight.value.rows(), dense.weight.value.rows()};
  });
  check_input(place.module, tuner.method(), " at ", projection, " cannot be written for PEFT: transformers has query, key ",
              "and value of such models as three modules; targets=query,key,value can");
  return place;
}

std::map<std::string, Tensor> Writing::own(const std::string& ending) const {
  std::map<std::string, Tensor> all;
  for (const NamedParameter& p : tuner.parameters())
    if (p.name.ends_with(ending))
      all[p.name.substr(0, p.name.size() - ending.size())] = p.value().to(Device::cpu()).to(DType::f32);
  return all;
}

std::vector<std::string> targets_of(const Writing& w, const std::set<const Module*>& chosen) {
  std::set<std::string> targets;
  const auto fits = [&](const std::string& end) {
    return end != "dense" && std::all_of(w.modules.all().begin(), w.modules.all().end(), [&](const Module& m) {
      return !selects(end, w.name(m)) || chosen.count(&m);
    });
  };
  for (const Module* m : chosen) {
    const std::string whole = w.name(*m);
    size_t begin = whole.rfind('.');
    while (begin != whole.npos && begin > 0 && !fits(whole.substr(begin + 1))) begin = whole.rfind('.', begin - 1);
    targets.insert(begin == whole.npos || !fits(whole.substr(begin + 1)) ? whole : whole.substr(begin + 1));
  }
  return {targets.begin(), targets.end()};
}

namespace {

// A parameter of the base by transformers' names: "model.norm" and "weight".
struct BaseName {
  std::string module, last;
  Relayout relayout;
};

std::map<std::string, BaseName> base_names(const Writing& w) {
  std::map<std::string, BaseName> all;
  for (const NameRule& rule : huggingface_names(w.model.config())) {
    std::string foreign = rule.foreign;
    if (w.is_bare())
      for (const std::string& s : spellings(w.model.config().family, rule.foreign))
        if (s.size() < foreign.size() && rule.foreign.ends_with("." + s)) foreign = s;
    const size_t dot = foreign.rfind('.');
    all[rule.ours] = {foreign.substr(0, dot), foreign.substr(dot + 1), rule.relayout};
  }
  return all;
}

}  // namespace

void write_trained_base(Writing& w, const std::set<const Module*>& adapted, bool may_have_bias) {
  w.config["modules_to_save"] = nullptr;
  if (may_have_bias) w.config["bias"] = "none";
  if (w.trained_base.empty()) return;
  const auto names = base_names(w);
  std::map<std::string, Tensor> values;
  std::set<std::string> biases, of_adapted, all_biases;
  for (const NamedParameter& p : w.model.parameters()) {
    values[p.name] = p.value().to(Device::cpu()).to(DType::f32);
    if (p.parameter->buffer || p.name.starts_with("classifier.")) continue;
    if ((names.at(p.name).module + names.at(p.name).last).find("bias") != std::string::npos) all_biases.insert(p.name);
  }
  for (const Module* m : adapted)
    if (values.count(m->ours + ".bias")) of_adapted.insert(m->ours + ".bias");
  std::set<std::string> whole;  // modules
  for (const std::string& name : w.trained_base) {
    if (name.ends_with(".bias") && !name.starts_with("classifier.")) biases.insert(name);
    else whole.insert(names.at(name).module);
  }
  for (const auto& [ours, name] : names) {
    if (!whole.count(name.module) || !values.count(ours)) continue;
    check_input(w.trained_base.count(ours), w.tuner.method(), ": ", ours, " did not train with the rest of ", name.module,
                ": PEFT saves modules whole");
    if (biases != all_biases && biases != of_adapted) biases.erase(ours);
  }
  if (!biases.empty()) {
    check_input(may_have_bias && (biases == all_biases || biases == of_adapted), w.tuner.method(), ": PEFT has no name for ",
                "the biases that trained along; all can be written, and those of the adapted products, beside lora, dora ",
                "and vera");
    w.config["bias"] = biases == all_biases ? "all" : "lora_only";
  }
  for (const std::string& name : w.trained_base) {
    const BaseName& n = names.at(name);
    const bool inside = of_adapted.count(name) && !whole.count(n.module);
    Tensor value = values.at(name);
    if (n.relayout == Relayout::transpose && value.shape().rank() == 2) value = transposed(value);
    w.tensors[text(kModel, n.module, inside ? ".base_layer." : ".", n.last)] = value;
  }
  std::set<std::string> saved;
  for (const std::string& module : whole) saved.insert(module.starts_with("classifier") ? "classifier" : module);
  if (saved.count("classifier")) saved.insert("score");  // PEFT's own two names of a classifier
  if (!saved.empty()) w.config["modules_to_save"] = saved;
}

}  // namespace peft

void save_peft_adapter(const std::string& path, Tuner& tuner, Model& model, const std::string& base,
                       const std::vector<std::string>& trained_base) {
  constexpr std::pair<std::string_view, void (*)(peft::Writing&)> kWriters[] = {
      {"dora", peft::write_low_rank}, {"full", peft::write_norms},  {"ia3", peft::write_ia3},
      {"layer_norm", peft::write_norms}, {"lora", peft::write_low_rank}, {"p_tuning", peft::write_prompt},
      {"p_tuning_v2", peft::write_prefix}, {"prefix", peft::write_prefix}, {"prompt", peft::write_prompt},
      {"vera", peft::write_vera}};
  Tuner& own = peft::own_part(tuner);
  const auto writer = std::find_if(std::begin(kWriters), std::end(kWriters), [&](const auto& w) { return w.first == own.method(); });
  std::vector<std::string> known;
  for (const auto& [name, _] : kWriters) known.emplace_back(name);
  check_input(writer != std::end(kWriters), tuner.method(), ": PEFT has no such method; there are ", listed(known));
  peft::check_beside(tuner);
  peft::Writing w{own, model, peft::Modules(model), {trained_base.begin(), trained_base.end()}, {}, {}};
  w.config = {{"auto_mapping", nullptr}, {"base_model_name_or_path", base}, {"inference_mode", true},
              {"peft_type", ""},         {"peft_version", peft::kVersion},  {"revision", nullptr},
              {"task_type", peft::task_type(model)}};
  writer->second(w);
  make_whole_directory(path, [&](const std::string& inside) {
    write_file(inside + "/" + peft::kConfig, w.config.dump(2) + "\n");
    write_safetensors(inside + "/" + peft::kWeights, w.tensors, {{"format", "pt"}});
  });
}

}  // namespace cambium
