// Finds the weights that a path means.
#include "models/files/weights.h"

#include <algorithm>

#include "core/files.h"
#include "core/path_kind.h"
#include "models/files/gguf.h"
#include "models/files/safetensors.h"

namespace cambium {
namespace {

std::string weights_in(const std::string& directory) {
  const auto names = list_directory(directory);
  for (const char* wanted : {"model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"})
    if (std::binary_search(names.begin(), names.end(), wanted)) return directory + "/" + wanted;
  std::vector<std::string> gguf;
  std::copy_if(names.begin(), names.end(), std::back_inserter(gguf),
               [](const auto& n) { return n.ends_with(".gguf"); });
  if (!gguf.empty() && std::ranges::all_of(gguf, [&](const std::string& n) {  // parts of one file
        return first_gguf_part(directory + "/" + n) == directory + "/" + gguf[0];
      }))
    return directory + "/" + gguf[0];
  check_input(gguf.size() <= 1, directory, ": has several GGUF files; name one of them, like ",
              gguf.empty() ? "" : gguf[0]);
  if (gguf.size() == 1) return directory + "/" + gguf[0];
  check_path(directory, Wanted::model);
  throw InputError(directory +
                   ": has no weights: expected model.safetensors, model.safetensors.index.json or a .gguf file");
}

}  // namespace

std::vector<std::string> WeightFile::names() const {
  std::vector<std::string> out;
  for (const auto& [name, _] : entries_) out.push_back(name);
  return out;
}

const WeightFile::Entry& WeightFile::entry(std::string_view name) const {
  const auto found = entries_.find(name);
  check_input(found != entries_.end(), path_, ": has no tensor \"", name, '"');
  return found->second;
}

std::unique_ptr<WeightFile> open_weights(const std::string& path) {
  if (is_directory(path)) return open_weights(weights_in(path));
  check_contents(path);
  if (is_gguf(path)) return std::make_unique<GgufFile>(path);
  return std::make_unique<SafetensorsFile>(path);
}

}  // namespace cambium
