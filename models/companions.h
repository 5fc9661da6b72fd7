// What lies beside a model's weights and goes where they go: the tokenizer's files with its chat templates, and the
// settings of model and generation.
#pragma once

#include <map>
#include <string>

namespace cambium {

// Contents by name, "chat_template.jinja" or "additional_chat_templates/tools.jinja".
struct Companions {
  std::map<std::string, std::string> tokenizer;
  std::map<std::string, std::string> settings;  // see settings_of

  // One of the settings; empty where it is not there.
  std::string setting(const std::string& name) const;
};

// config.json and generation_config.json as they are, of a directory or a .h5 file of ours.
std::map<std::string, std::string> settings_of(const std::string& model_path);

// Of a Hugging Face directory, a .h5 file of ours, or a GGUF file (alone or in a directory), whose vocabulary becomes a
// tokenizer.json and whose chat template and special tokens become a tokenizer_config.json. A vocabulary that is not
// supported stays behind, which is said. Throws InputError for files that cannot be read.
Companions companions_of(const std::string& model_path);

}  // namespace cambium
