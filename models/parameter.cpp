#include "models/parameter.h"

#include <algorithm>

namespace cambium {

const NamedParameter& parameter_named(const std::vector<NamedParameter>& all, std::string_view name) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const NamedParameter& p) { return p.name == name; });
  CHECK(found != all.end(), "there is no parameter ", name);
  return *found;
}

}  // namespace cambium
