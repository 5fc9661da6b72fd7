// Where fetched models and their downloads lie. For the files models/fetch*.cpp.
#pragma once

#include <string>

#include "core/files.h"

namespace cambium {

struct FetchPlace {
  std::string target;  // home/models/NAME
  std::string work;    // home/downloads/NAME, with / as --
  DirectoryLock lock;  // of `work`; waits for another that fetches the same

  explicit FetchPlace(const std::string& name);
  // Puts a finished directory, somewhere in `work`, into the target's place.
  void finish(const std::string& directory) const;
};

// Two names of letters, digits, . _ and -, neither starting with a dot or dash, and a slash
// between.
bool is_hub_name(std::string_view name);
// A file, or a directory with all it holds; nothing if it is not there.
void remove_path(const std::string& path);
// Throws InputError unless the file has the sum.
void check_sha256(const std::string& path, const std::string& expected, const std::string& what);

}  // namespace cambium
