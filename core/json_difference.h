// Where two JSON values differ.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/json.h"

namespace cambium {

struct JsonDifference {
  std::string name, left, right;  // values are brief, or "absent"
};

// The first field in which two objects differ, in the order of names: of one inside another "dropout/residual". None
// where they are equal.
inline std::optional<JsonDifference> first_difference(const nlohmann::json& left, const nlohmann::json& right) {
  const nlohmann::json a = left.flatten(), b = right.flatten();
  for (const auto& [name, value] : b.items())
    if (!a.contains(name) || a.at(name) != value)
      return JsonDifference{name.substr(1), a.contains(name) ? brief(a.at(name)) : "absent", brief(value)};
  for (const auto& [name, value] : a.items())
    if (!b.contains(name)) return JsonDifference{name.substr(1), brief(value), "absent"};
  return {};
}

}  // namespace cambium
