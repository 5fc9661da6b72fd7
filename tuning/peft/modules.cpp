#include "tuning/peft/modules.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "core/json.h"
#include "core/regex.h"
#include "tuning/sites.h"

namespace cambium::peft {
namespace {

using nlohmann::json;

constexpr std::string_view kWeight = ".weight";

// Whether the expression matches the whole text, as Python's re.fullmatch.
bool matches_whole(const std::string& pattern, const std::string& name, const char* field) {
  try {
    return Regex("(?:" + pattern + ")\\z", Regex::anchored).match_at(name, 0).end == name.size();
  } catch (const Error& error) {
    throw InputError(text(kConfig, ": ", field, ": ", error.what()));
  }
}

bool is_end(const std::string& end, const std::string& name) {
  return name == end || name.ends_with("." + end);
}

// Where the number ends that stands between dots behind `before`, an expression for the beginning; 0: nowhere.
std::optional<int64_t> number_behind(const std::string& before, const std::string& name) {
  const Regex::Ends found = Regex(before + R"(\.(\d+)\.)", Regex::anchored).match_at(name, 0);
  if (!found.end) return {};
  size_t begin = found.group;
  while (begin > 0 && std::isdigit(static_cast<unsigned char>(name[begin - 1]))) --begin;
  const std::string digits = name.substr(begin, found.group - begin);
  return digits.size() > 9 ? std::nullopt : std::optional<int64_t>(std::stoll(digits));
}

}  // namespace

Modules::Modules(Model& model) {
  std::set<std::string> projections;
  for_each_product(model, [&](const Site& site, Dense& dense) {
    for (const Part& part : dense.parts) projections.insert(path_of(site) + "." + part.name);
    if (!dense.separate_names) projections.insert(path_of(site) + ".query_key_value");
  });
  for (const NameRule& rule : huggingface_names(model.config())) {
    if (!rule.ours.ends_with(kWeight)) continue;
    Module m{.ours = rule.ours.substr(0, rule.ours.size() - kWeight.size())};
    for (const std::string& foreign : spellings(model.config().family, rule.foreign))
      if (foreign.ends_with(kWeight)) m.names.push_back(foreign.substr(0, foreign.size() - kWeight.size()));
    m.is_projection = projections.count(m.ours) > 0;
    m.is_norm = is_of_norm(rule.ours);
    for (const char* table : {"embedding", "position", "token_type", "relative_bias"})
      m.is_table = m.is_table || selects(table, m.ours);
    all_.push_back(std::move(m));
  }
}

const Module* Modules::with_ours(const std::string& ours) const {
  const auto found = std::find_if(all_.begin(), all_.end(), [&](const Module& m) { return m.ours == ours; });
  return found == all_.end() ? nullptr : &*found;
}

std::string Modules::tensor(const WeightFile& file, const Module& module, const std::string& suffix) {
  for (const std::string& name : module.names)
    if (const std::string tensor = std::string(kModel) + name + suffix; file.has(tensor)) return tensor;
  return std::string(kModel) + module.name() + suffix;
}

std::vector<std::string> find_names(const json& config, const char* field) {
  const json* value = find_field(config, field);
  if (!value) return {};
  return reading(kConfig, [&] {
    return value->is_string() ? std::vector<std::string>{value->get<std::string>()} : get_strings(config, field);
  });
}

std::optional<Chosen::Names> Chosen::names_of(const json& config, const char* field) {
  const json* value = find_field(config, field);
  if (!value) return {};
  if (value->is_string()) return value->get<std::string>();
  return find_names(config, field);
}

Chosen::Chosen(const json& config)
    : targets_(names_of(config, "target_modules")), excluded_(names_of(config, "exclude_modules")),
      patterns_(find_names(config, "layers_pattern")) {
  if (const json* layers = find_field(config, "layers_to_transform"))
    layers_ = reading(kConfig, [&] {
      return layers->is_array() ? get_ints(config, "layers_to_transform", 0, 1 << 20)
                                : std::vector<int64_t>{get_int(config, "layers_to_transform", 0, 1 << 20)};
    });
  for (const std::string& pattern : patterns_)
    check_input(pattern.find('(') == pattern.npos, kConfig, ": layers_pattern = ", brief(pattern),
                ": expressions with groups cannot be read");
  if (excluded_ && std::holds_alternative<std::vector<std::string>>(*excluded_) &&
      std::get<std::vector<std::string>>(*excluded_).empty())
    excluded_.reset();
  if (!targets_ || !std::holds_alternative<std::string>(*targets_)) return;
  std::string word = std::get<std::string>(*targets_);
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
  all_linear_ = word == "all-linear";
}

bool Chosen::match(const Names& names, const std::string& name) {
  if (const auto* pattern = std::get_if<std::string>(&names)) return matches_whole(*pattern, name, "target_modules");
  const auto& list = std::get<std::vector<std::string>>(names);
  return std::any_of(list.begin(), list.end(), [&](const std::string& end) { return is_end(end, name); });
}

bool Chosen::is_in_layers(const std::string& name) const {
  if (layers_.empty() || std::holds_alternative<std::string>(*targets_)) return true;
  std::optional<int64_t> layer;
  if (patterns_.empty()) layer = number_behind(R"(.*?\.[^.]*)", name);
  for (size_t i = 0; i < patterns_.size() && !layer; ++i) layer = number_behind(R"((?:^|.*?\.))" + patterns_[i], name);
  return layer && std::find(layers_.begin(), layers_.end(), *layer) != layers_.end();
}

bool Chosen::has(const Module& module) const {
  const auto any = [&](const auto& f) { return std::any_of(module.names.begin(), module.names.end(), f); };
  if (excluded_ && any([&](const std::string& n) { return match(*excluded_, n); })) return false;
  if (!targets_) return false;
  if (all_linear_) return module.is_projection;
  return any([&](const std::string& n) { return match(*targets_, n) && is_in_layers(n); });
}

std::vector<double> pattern_values(const json& config, const char* field, const Module& module) {
  std::vector<double> values;
  const json* pattern = find_field(config, field);
  if (!pattern) return values;
  check_input(pattern->is_object(), kConfig, ": ", field, " = ", brief(*pattern), " is no object");
  for (const auto& [key, value] : pattern->items()) {
    check_input(value.is_number() && value.get<double>() > 0 && value.get<double>() <= 1e6, kConfig, ": ", field, ": ",
                brief(key), ": ", brief(value), " is no number above 0");
    for (const std::string& name : module.names)
      if (matches_whole("(?:.*\\.)?(?:" + key + ")", name, field)) {
        values.push_back(value.get<double>());
        break;
      }
  }
  return values;
}

}  // namespace cambium::peft
