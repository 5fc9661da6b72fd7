// IA3, VeRA and tuned norms from PEFT's directories.
#include <algorithm>
#include <cmath>
#include <set>

#include "core/json.h"
#include "tuning/methods.h"
#include "tuning/options.h"
#include "tuning/peft/directory.h"
#include "tuning/sites.h"
#include "tuning/vera.h"

namespace cambium::peft {
namespace {

using nlohmann::json;

std::set<std::string> names_of(const std::vector<const Module*>& modules) {
  std::set<std::string> names;
  for (const Module* m : modules) names.insert(m->ours);
  return names;
}

// feedforward_modules: names are compared with the ends of modules' names, dot or not.
bool is_feed_forward(const json& config, const Module& module) {
  const json* field = find_field(config, "feedforward_modules");
  if (field && field->is_string()) {
    const Chosen chosen(json{{"target_modules", *field}});
    return chosen.has(module);
  }
  const std::vector<std::string> ends = find_names(config, "feedforward_modules");
  return std::any_of(ends.begin(), ends.end(), [&](const std::string& end) { return module.name().ends_with(end); });
}

}  // namespace

std::unique_ptr<Tuner> read_ia3(Reading& r) {
  const json& config = r.files.config;
  r.files.check_fields({{"target_modules", "exclude_modules", "feedforward_modules", "modules_to_save"},
                        {"fan_in_fan_out", "init_ia3_weights"}});
  const auto modules = r.chosen(&Module::is_projection, "product of a layer");
  std::vector<const Module*> inputs;
  for (const Module* m : modules)
    if (is_feed_forward(config, *m)) inputs.push_back(m);
  OptionMap options{{"targets", listed(selectors_of(r.model, names_of(modules)), ",")}};
  // "down" by itself is the default, and selects nothing where it is no target.
  options["inputs"] = inputs.empty() ? "down" : listed(selectors_of(r.model, names_of(inputs)), ",");
  for (const Module* m : modules)
    check_input(!inputs.empty() || !selects("down", m->ours), kConfig, ": feedforward_modules leaves ", m->name(),
                " out: what it gives would be scaled, not what it reads; that cannot be computed here");
  const std::vector<std::string> trained = plan_trained_base(r, modules);
  Made made = make_with_base(r, "ia3", options, trained);
  for (const Module* m : modules)
    r.plan.add(Modules::tensor(r.files.weights, *m, ".ia3_l"), made.parameter(m->ours + ".ia3"), true);
  r.plan.write();
  return std::move(made.tuner);
}

std::unique_ptr<Tuner> read_vera(Reading& r) {
  const json& config = r.files.config;
  r.files.check_fields({{"r", "vera_dropout", "target_modules", "layers_to_transform", "layers_pattern", "modules_to_save",
                         "projection_prng_key", "bias"},
                        {"fan_in_fan_out", "d_initial", "init_weights", "save_projection"}});
  const auto modules = r.chosen(&Module::is_projection, "product of a layer");
  const OptionMap options = reading(kConfig, [&] {
    return OptionMap{{"rank", std::to_string(get_int(config, "r", 1, 65536))},
                     {"seed", std::to_string(find_int(config, "projection_prng_key", 0, int64_t(1) << 52).value_or(0))},
                     {"dropout", print_number(find_number(config, "vera_dropout", 0, 0.999).value_or(0))},
                     {"targets", listed(selectors_of(r.model, names_of(modules)), ",")},
                     {"compat", "peft"}};
  });
  const std::vector<std::string> trained = plan_trained_base(r, modules);
  Made made = make_with_base(r, "vera", options, trained);
  for (const Module* m : modules) {
    r.plan.add(Modules::tensor(r.files.weights, *m, ".vera_lambda_d"), made.parameter(m->ours + ".vera_d"));
    r.plan.add(Modules::tensor(r.files.weights, *m, ".vera_lambda_b"), made.parameter(m->ours + ".vera_b"));
  }
  const Vera* vera = dynamic_cast<const Vera*>(&own_part(*made.tuner));
  CHECK(vera, "the tuner is no vera");
  for (const auto& [tensor, drawn] : {std::pair<std::string, Tensor>{"base_model.vera_A", vera->projection_a()},
                                      {"base_model.vera_B", vera->projection_b()}}) {
    if (!r.plan.has(tensor)) continue;  // save_projection = false
    r.plan.take(tensor);
    const Tensor stored = r.files.weights.read(tensor).to(DType::f64), own = drawn.to(Device::cpu()).to(DType::f64);
    check_input(stored.shape() == own.shape(), kWeights, ": ", tensor, " is ", stored.shape(), ", needed is ", own.shape());
    double worst = 0;
    for (int64_t i = 0; i < own.size(); ++i)
      worst = std::max(worst, std::abs(stored.data<double>()[i] - own.data<double>()[i]));
    check_input(worst <= 1e-6, kWeights, ": ", tensor, " is not what projection_prng_key = ", options.at("seed"),
                " draws (difference ", worst, "); such a pair cannot be kept here");
  }
  r.plan.write();
  return std::move(made.tuner);
}

std::unique_ptr<Tuner> read_norms(Reading& r) {
  r.files.check_fields({{"target_modules", "exclude_modules", "modules_to_save"}, {}});
  const auto modules = r.chosen(&Module::is_norm, "norm");
  std::map<std::string, NamedParameter> parameters;
  std::set<std::string> chosen, norms;
  for (const NamedParameter& p : r.model.parameters()) {
    parameters.emplace(p.name, p);
    if (is_of_norm(p.name)) norms.insert(p.name);
  }
  for (const Module* m : modules)
    for (const char* part : {".weight", ".bias"}) {
      const auto found = parameters.find(m->ours + part);
      if (found == parameters.end()) continue;
      r.plan.add(Modules::tensor(r.files.weights, *m, text(".ln_tuning_layers", part)), found->second);
      chosen.insert(m->ours + part);
    }
  const std::vector<std::string> saved = plan_trained_base(r, {});
  chosen.insert(saved.begin(), saved.end());
  const TunerContext context{.model = r.model, .initialize = false};
  auto tuner = chosen == norms ? make_tuner("layer_norm", {}, context)
                               : make_tuner("full", {{"only", listed(chosen, ",")}}, context);
  r.plan.write();
  return tuner;
}

}  // namespace cambium::peft
