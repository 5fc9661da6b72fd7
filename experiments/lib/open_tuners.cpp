#include "experiments/lib/open_tuners.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json_integer.h"
#include "core/path_kind.h"
#include "tuning/mixture.h"

namespace cambium {
namespace {

TunerArgument argument_of(const std::string& given) {
  const size_t equals = given.find('=');
  if (equals == given.npos || file_exists(given) || given.find('/') < equals) return {"", given};
  return {given.substr(0, equals), given.substr(equals + 1)};
}

}  // namespace

std::vector<TunerArgument> tuner_arguments(const std::vector<std::string>& given) {
  std::vector<TunerArgument> all;
  for (const std::string& argument : given) {
    TunerArgument a = argument_of(argument);
    check_input(!argument.starts_with('='), "--tuner ", argument, ": the name is empty");
    check_input(a.name.empty() || a.name.find_first_not_of("-0123456789") != a.name.npos, "--tuner ", argument,
                ": a name must not be a number, which the tuners have already");
    check_input(a.name.empty() ||
                    std::none_of(all.begin(), all.end(), [&](const TunerArgument& b) { return a.name == b.name; }),
                "--tuner ", argument, ": there are two tuners of that name");
    check_tuner(a.path);
    all.push_back(std::move(a));
  }
  return all;
}

OpenTuners::OpenTuners(const std::vector<TunerArgument>& given, Session& session, bool force_base) {
  for (const TunerArgument& argument : given) {
    owned_.push_back(open_tuner(argument.path, session, force_base));
    check_input(given.size() == 1 || !changes_base(*owned_.back(), *session.model), argument.path,
                " changes the base itself and cannot be mixed with others");
    all_.push_back(owned_.back().get()), names_.push_back(argument.name);
  }
}

nlohmann::json OpenTuners::label(int tuner) const {
  if (tuner >= 0 && !names_[size_t(tuner)].empty()) return names_[size_t(tuner)];
  return tuner;
}

int tuner_number(const nlohmann::json& value, std::span<const std::string> names, const std::string& where) {
  if (value.is_string()) {
    const std::string name = value.get<std::string>();
    const auto found = std::find(names.begin(), names.end(), name);
    check_input(!name.empty() && found != names.end(), where, " = ", brief(value), ": no --tuner has that name");
    return int(found - names.begin());
  }
  check_input(is_int(value, -1, int64_t(names.size()) - 1), where, " = ", brief(value), "; there are ", names.size(),
              " tuners");
  return value.get<int>();
}

}  // namespace cambium
