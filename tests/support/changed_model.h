// Golden models with something changed, in a folder of their own.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "core/files.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"

namespace cambium::testing {

// A golden model with another config.json and, where given, another generation_config.json ("-": none).
class ChangedModel {
 public:
  ChangedModel(const std::string& name, const std::function<void(nlohmann::json&)>& change,
               const std::string& generation = "") {
    const std::string from = golden_path("models/" + name);
    for (const std::string& file : list_directory(from))
      if (file.ends_with(".json") || file.ends_with(".safetensors"))
        std::filesystem::copy_file(from + "/" + file, folder_ / file);
    nlohmann::json config = parse_json_file(from + "/config.json");
    change(config);
    put_file(folder_ / "config.json", config.dump());
    if (generation == "-") std::filesystem::remove(folder_ / "generation_config.json");
    else if (!generation.empty()) put_file(folder_ / "generation_config.json", generation);
  }
  std::string path() const { return folder_.path(); }

 private:
  TemporaryDirectory folder_;
};

}  // namespace cambium::testing
