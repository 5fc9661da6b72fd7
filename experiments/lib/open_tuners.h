// The tuners that a command line names, in their order: `--tuner T` or `--tuner NAME=T`.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/json.h"
#include "experiments/lib/session.h"
#include "tuning/tuner.h"

namespace cambium {

// Of one argument: T, and the name that it was given (or none). A file that exists is never taken for NAME=T.
struct TunerArgument {
  std::string name, path;
};
// Throws InputError for two of one name, a name that is a number, and a path where no tuner can be: asked before a
// model is read, which takes long.
std::vector<TunerArgument> tuner_arguments(const std::vector<std::string>& given);

class OpenTuners {
 public:
  // Throws InputError for one that cannot be used, and where one of several changes the base.
  OpenTuners(const std::vector<TunerArgument>&, Session&, bool force_base);

  std::span<Tuner* const> all() const { return all_; }
  std::span<const std::string> names() const { return names_; }  // empty where none was given
  // How outputs call a tuner: its name, else its number.
  nlohmann::json label(int tuner) const;

 private:
  std::vector<std::unique_ptr<Tuner>> owned_;
  std::vector<Tuner*> all_;
  std::vector<std::string> names_;
};

// Which of the tuners a JSON value names: a number from 0, -1 for none, or a name. `where` names the value in errors.
int tuner_number(const nlohmann::json&, std::span<const std::string> names, const std::string& where);

}  // namespace cambium
