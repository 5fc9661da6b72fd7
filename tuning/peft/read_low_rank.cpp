// LoRA, DoRA and AdaLoRA from PEFT's directories.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <set>

#include "core/json.h"
#include "tuning/options.h"
#include "tuning/peft/directory.h"
#include "tuning/sites.h"

namespace cambium::peft {
namespace {

using nlohmann::json;

// Left behind by initializations, by ways to load a base, or with a meaning only beside another field.
constexpr std::initializer_list<const char*> kHarmless = {
    "megatron_core", "megatron_config", "qalora_group_size", "fan_in_fan_out", "corda_config", "eva_config",
    "loftq_config", "lora_ga_config", "ensure_weight_tying", "runtime_config"};
constexpr std::initializer_list<const char*> kUsed = {
    "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "init_lora_weights", "target_modules", "exclude_modules",
    "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "modules_to_save", "bias"};

// PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA take their first A and B out of the base's weights: the matrices belong to
// what is left of them, which the directory does not hold.
void check_initialization(const json& config) {
  const json* value = find_field(config, "init_lora_weights");
  if (!value || value->is_boolean()) return;
  std::string name = value->is_string() ? value->get<std::string>() : "";
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  check_input(name == "gaussian" || name == "eva" || name == "orthogonal" || name == "mica", kConfig,
              ": init_lora_weights = ", brief(*value),
              " changed the base's weights, which are not here; the tuner was not loaded.\nSave it with PEFT's "
              "save_pretrained(..., path_initial_model_for_weight_conversion=...), which makes it an adapter of the "
              "unchanged base");
}

// Of the numbers that a pattern has for a module the one that it gets; in which order PEFT would look at several, the
// file no longer says.
double number_of(const json& config, const char* field, const Module& module, double fallback) {
  const std::vector<double> values = pattern_values(config, field, module);
  check_input(std::adjacent_find(values.begin(), values.end(), std::not_equal_to()) == values.end(), kConfig, ": ", field,
              " has several numbers for ", module.name());
  return values.empty() ? fallback : values.front();
}

int64_t rank_of(const json& config, const Module& module, int64_t fallback) {
  const double rank = number_of(config, "rank_pattern", module, double(fallback));
  check_input(rank == std::floor(rank) && rank <= 65536, kConfig, ": rank_pattern: ", rank, " is no rank");
  return int64_t(rank);
}

OptionMap options_of(Reading& r, const std::vector<const Module*>& modules, int64_t rank, double alpha,
                     const std::map<std::string, double>& ranks, const std::map<std::string, double>& alphas) {
  std::set<std::string> names;
  for (const Module* m : modules) names.insert(m->ours);
  const json& config = r.files.config;
  return {{"rank", std::to_string(rank)},
          {"alpha", print_number(alpha)},
          {"dropout", print_number(find_number(config, "lora_dropout", 0, 0.999).value_or(0))},
          {"targets", listed(selectors_of(r.model, names), ",")},
          {"rslora", find_bool(config, "use_rslora").value_or(false) ? "1" : "0"},
          {"rank_pattern", print_numbers(numbers_of(ranks, double(rank)))},
          {"alpha_pattern", print_numbers(numbers_of(alphas, alpha))}};
}

}  // namespace

std::unique_ptr<Tuner> read_lora(Reading& r) {
  const json& config = r.files.config;
  r.files.check_fields({kUsed, kHarmless});
  check_initialization(config);
  const auto modules = r.chosen(&Module::is_projection, "product of a layer");
  const auto [rank, alpha, dora] = reading(kConfig, [&] {
    return std::tuple(get_int(config, "r", 1, 65536), get_number(config, "lora_alpha", 1e-6, 1e6),
                      find_bool(config, "use_dora").value_or(false));
  });
  std::map<std::string, double> ranks, alphas;
  for (const Module* m : modules) {
    ranks[m->ours] = double(rank_of(config, *m, rank));
    alphas[m->ours] = number_of(config, "alpha_pattern", *m, alpha);
  }
  const OptionMap options = reading(kConfig, [&] { return options_of(r, modules, rank, alpha, ranks, alphas); });
  const std::vector<std::string> trained = plan_trained_base(r, modules);
  Made made = make_with_base(r, dora ? "dora" : "lora", options, trained);
  for (const Module* m : modules) {
    const auto add = [&](const std::string& suffix, const char* ours) {
      r.plan.add(Modules::tensor(r.files.weights, *m, suffix), made.parameter(m->ours + ours));
    };
    add(".lora_A.weight", ".lora_a"), add(".lora_B.weight", ".lora_b");
    if (dora) add(".lora_magnitude_vector", ".magnitude");
  }
  r.plan.write();
  return std::move(made.tuner);
}

// y = W x + alpha / (r + 1e-5) B (E A) x: the LoRA with E A in the place of A. What AdaLoRA adds while it trains (a
// penalty, the choice of ranks) is over when it is saved for use.
std::unique_ptr<Tuner> read_adalora(Reading& r) {
  const json& config = r.files.config;
  r.files.check_fields({kUsed,
                        {"megatron_core", "megatron_config", "qalora_group_size", "fan_in_fan_out", "target_r", "init_r",
                         "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight", "total_step",
                         "ensure_weight_tying", "loftq_config"}});
  const auto modules = r.chosen(&Module::is_projection, "product of a layer");
  const double alpha = reading(kConfig, [&] { return get_number(config, "lora_alpha", 1e-6, 1e6); });
  std::map<std::string, double> ranks, alphas;
  for (const Module* m : modules) {
    const std::string tensor = Modules::tensor(r.files.weights, *m, ".lora_A");
    const int64_t rank = r.plan.has(tensor) && r.files.weights.shape(tensor).rank() == 2 ? r.files.weights.shape(tensor)[0] : 1;
    check_input(rank >= 1, kWeights, ": ", tensor, " is ", r.files.weights.shape(tensor), ": a matrix of rank 0");
    ranks[m->ours] = double(rank);
    alphas[m->ours] = alpha * double(rank) / (double(rank) + 1e-5);
  }
  const double rank = ranks.begin()->second;
  const OptionMap options = reading(
      kConfig, [&] { return options_of(r, modules, int64_t(rank), alphas.begin()->second, ranks, alphas); });
  const std::vector<std::string> trained = plan_trained_base(r, modules);
  Made made = make_with_base(r, "lora", options, trained);
  for (const Module* m : modules) {
    const auto name = [&](const char* suffix) { return Modules::tensor(r.files.weights, *m, suffix); };
    const NamedParameter a = made.parameter(m->ours + ".lora_a");
    r.plan.add(name(".lora_B"), made.parameter(m->ours + ".lora_b"));
    if (!r.plan.has(name(".lora_A")) || !r.plan.has(name(".lora_E"))) {
      r.plan.add(name(".lora_A"), a);
      if (!r.plan.has(name(".lora_E"))) r.plan.add(name(".lora_E"), a);
      continue;
    }
    const Tensor scales = r.files.weights.read(name(".lora_E")).to(DType::f64);
    const Tensor rows = r.files.weights.read(name(".lora_A")).to(DType::f64).clone();
    r.plan.take(name(".lora_E"));
    check_input(rows.shape().rank() == 2 && scales.size() == rows.rows(), kWeights, ": ", name(".lora_E"), " is ",
                scales.shape(), ", needed are ", rows.rows(), " numbers");
    for (int64_t i = 0; i < rows.size(); ++i) rows.data<double>()[i] *= scales.data<double>()[i / rows.cols()];
    r.plan.add_value(name(".lora_A"), a, rows.to(DType::f32));
  }
  r.plan.write();
  return std::move(made.tuner);
}

}  // namespace cambium::peft
