// Modules as transformers and PEFT name them, and which of them an adapter's configuration means.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "models/files/weights.h"
#include "models/import/names.h"
#include "models/model.h"

namespace cambium::peft {

inline constexpr std::string_view kModel = "base_model.model.";  // before transformers' names
constexpr const char *kConfig = "adapter_config.json", *kWeights = "adapter_model.safetensors";

struct Module {
  std::string ours;                // "decoder.layers.0.self_attention.query"
  std::vector<std::string> names;  // transformers', without ".weight"; the first is that of a model with a head, others
                                   // are of the model below it
  bool is_projection = false;      // a product of a layer, which tuners act on
  bool is_norm = false, is_table = false;

  const std::string& name() const { return names.front(); }
};

// All that have a weight.
class Modules {
 public:
  explicit Modules(Model&);
  const std::vector<Module>& all() const { return all_; }
  const Module* with_ours(const std::string& ours) const;
  // The tensor of a module in a file: "base_model.model.<name><suffix>" in the spelling that the file has, else the first.
  static std::string tensor(const WeightFile&, const Module&, const std::string& suffix);

 private:
  std::vector<Module> all_;
};

// What a configuration's target_modules, exclude_modules, layers_to_transform and layers_pattern choose, as PEFT 0.21
// reads them: names or ends of names, or one regular expression for whole names. Throws InputError for values of other
// types and expressions that cannot be read.
class Chosen {
 public:
  explicit Chosen(const nlohmann::json& config);
  // Whether target_modules says something.
  bool says() const { return targets_.has_value(); }
  bool all_linear() const { return all_linear_; }
  bool has(const Module&) const;

 private:
  using Names = std::variant<std::string, std::vector<std::string>>;  // an expression, or names
  static std::optional<Names> names_of(const nlohmann::json& config, const char* field);
  static bool match(const Names&, const std::string& name);
  bool is_in_layers(const std::string& name) const;

  std::optional<Names> targets_, excluded_;
  std::vector<int64_t> layers_;
  std::vector<std::string> patterns_;
  bool all_linear_ = false;
};

// The numbers of rank_pattern or alpha_pattern whose expressions match the end of a module's name.
std::vector<double> pattern_values(const nlohmann::json& config, const char* field, const Module&);

// A field that is a list of names, a single name, or absent.
std::vector<std::string> find_names(const nlohmann::json& config, const char* field);

}  // namespace cambium::peft
