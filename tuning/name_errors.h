// How names and shapes of a file differ from what is needed: reported together.
#pragma once

#include <string>
#include <vector>

#include "models/load.h"

namespace cambium {

struct NameErrors {
  std::vector<std::string> extra, missing, misshaped;

  // Throws InputError, with the first names of each kind, unless there are none. what: "parameters".
  void check(const std::string& path, const char* what) const {
    check_input(extra.empty() && missing.empty() && misshaped.empty(), path, ": ", extra.size(), " ", what, " too many",
                first_of(extra), "\n", missing.size(), " missing", first_of(missing), "\n", misshaped.size(),
                " of another shape", first_of(misshaped));
  }
};

}  // namespace cambium
