#include "core/environment.h"

#include <cstdlib>

#include "core/error.h"

namespace cambium {

std::optional<std::string> environment(const char* name) {
  const char* const value = std::getenv(name);
  if (!value || !*value) return {};
  return value;
}

std::optional<std::string> find_cambium_home() {
  if (auto own = environment("CAMBIUM_HOME")) return own;
  for (const auto& [name, below] : {std::pair{"XDG_CACHE_HOME", "/cambium"}, {"HOME", "/.cache/cambium"}})
    if (const auto place = environment(name); place && place->starts_with('/')) return *place + below;
  return {};
}

std::string cambium_home() {
  const auto home = find_cambium_home();
  check_input(home.has_value(),
              "none of CAMBIUM_HOME, XDG_CACHE_HOME and HOME names a directory: where should models "
              "go?\nSet CAMBIUM_HOME to one");
  return *home;
}

std::string temporary_place() { return environment("TMPDIR").value_or("/tmp"); }

}  // namespace cambium
