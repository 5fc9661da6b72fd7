// Data files are found through the environment, beside the installed library, or in the source tree.
#include "experiments/lib/data_path.h"

#include <dlfcn.h>

#include <filesystem>
#include <vector>

#include "core/environment.h"
#include "core/error.h"

namespace cambium {
namespace {

namespace fs = std::filesystem;

// The file this code was loaded from: the library, or a program it was linked into.
fs::path own_file() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&data_path), &info) == 0 || !info.dli_fname) return {};
  std::error_code ignored;
  return fs::canonical(info.dli_fname, ignored);
}

}  // namespace

std::string data_path(std::string_view name) {
  std::vector<fs::path> places;
  if (const auto set = environment("CAMBIUM_DATA")) places.emplace_back(*set);
  if (const fs::path self = own_file(); !self.empty())
    places.push_back(self.parent_path().parent_path() / "share" / "cambium");
  places.emplace_back(CAMBIUM_SOURCE_DATA);  // set by cmake
  std::string searched;
  for (const fs::path& place : places) {
    std::error_code ignored;
    if (fs::exists(place / name, ignored)) return (place / name).string();
    searched += (searched.empty() ? "" : ", ") + place.string();
  }
  throw Error(text("data '", name, "' not found in ", searched, "\nset CAMBIUM_DATA to the directory that holds it"));
}

}  // namespace cambium
