// IA3, VeRA and tuned norms for PEFT.
#include <algorithm>
#include <cmath>

#include "tuning/options.h"
#include "tuning/peft/writing.h"
#include "tuning/sites.h"
#include "tuning/vera.h"

namespace cambium::peft {

void write_ia3(Writing& w) {
  const std::vector<std::string> scaled_inputs = split(w.tuner.options().at("inputs"));
  std::set<const Module*> of_inputs, of_outputs;
  std::map<const Module*, Tensor> factors;  // of whole modules: one where nothing is scaled
  for (const auto& [name, values] : w.own(".ia3")) {
    const Writing::Place place = w.place_of(name);
    if (selects(scaled_inputs, name)) {
      of_inputs.insert(place.module);
      factors[place.module] = values.reshape({1, values.size()});
      continue;
    }
    of_outputs.insert(place.module);
    Tensor& all = factors[place.module];
    if (!all) all = Tensor::of(std::vector<float>(size_t(place.rows), 1.f)).reshape({place.rows, 1});
    std::copy_n(values.data<float>(), values.size(), all.data<float>() + place.begin);
  }
  for (const auto& [module, values] : factors) w.tensors[w.tensor(*module, ".ia3_l")] = values;
  std::vector<std::string> targets = targets_of(w, of_outputs), inputs = targets_of(w, of_inputs);
  targets.insert(targets.end(), inputs.begin(), inputs.end());
  w.config["peft_type"] = "IA3";
  w.config["target_modules"] = targets;
  w.config["feedforward_modules"] = inputs;
  w.config["fan_in_fan_out"] = w.model.config().family == "gpt2";
  w.config["init_ia3_weights"] = true;
  of_outputs.insert(of_inputs.begin(), of_inputs.end());
  write_trained_base(w, of_outputs, false);
}

void write_vera(Writing& w) {
  const OptionMap options = w.tuner.options();
  std::set<const Module*> adapted;
  const auto outer = w.own(".vera_b");
  for (const auto& [name, inner] : w.own(".vera_d")) {
    const Writing::Place place = w.place_of(name);
    check_input(!place.is_part(), "vera at ", name, " cannot be written for PEFT: it is a part of ", place.module->name(),
                " there; targets=query_key_value adapts it whole");
    adapted.insert(place.module);
    w.tensors[w.tensor(*place.module, ".vera_lambda_d")] = inner;
    w.tensors[w.tensor(*place.module, ".vera_lambda_b")] = outer.at(name);
  }
  const Vera& vera = dynamic_cast<const Vera&>(w.tuner);
  w.tensors["base_model.vera_A"] = vera.projection_a().to(Device::cpu()).to(DType::f32);
  w.tensors["base_model.vera_B"] = vera.projection_b().to(Device::cpu()).to(DType::f32);
  w.config["peft_type"] = "VERA";
  w.config["r"] = std::stoll(options.at("rank"));
  w.config["target_modules"] = targets_of(w, adapted);
  w.config["projection_prng_key"] = std::stoll(options.at("seed"));
  w.config["save_projection"] = true;
  w.config["vera_dropout"] = std::stod(options.at("dropout"));
  w.config["d_initial"] = std::stod(options.at("initial"));
  w.config["fan_in_fan_out"] = w.model.config().family == "gpt2";
  write_trained_base(w, adapted, true);
}

void write_norms(Writing& w) {
  std::set<const Module*> norms;
  for (const std::string& name : w.trained_base) {
    check_input(is_of_norm(name) || name.starts_with("classifier."), w.tuner.method(), " cannot be written for PEFT: ", name,
                " trained, and PEFT trains of a base alone nothing but norms; the merged model can be written");
    if (const Module* m = w.modules.with_ours(name.substr(0, name.rfind('.'))); m && m->is_norm) norms.insert(m);
  }
  check_input(!norms.empty(), w.tuner.method(), " cannot be written for PEFT: no norm trained");
  for (const NamedParameter& p : w.model.parameters()) {
    const Module* m = w.modules.with_ours(p.name.substr(0, p.name.rfind('.')));
    if (!m || !norms.count(m)) continue;
    check_input(w.trained_base.erase(p.name) > 0, w.tuner.method(), " cannot be written for PEFT: ", p.name,
                " did not train with the rest of its norm");
    w.tensors[w.tensor(*m, text(".ln_tuning_layers", p.name.substr(p.name.rfind('.'))))] =
        p.value().to(Device::cpu()).to(DType::f32);
  }
  w.config["peft_type"] = "LN_TUNING";
  w.config["target_modules"] = targets_of(w, norms);
  write_trained_base(w, {}, false);
}

}  // namespace cambium::peft
