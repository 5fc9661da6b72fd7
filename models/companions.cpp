// Finds a model's companions.
#include "models/companions.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/hdf5.h"
#include "core/json.h"
#include "core/places.h"
#include "core/progress.h"
#include "models/files/gguf.h"
#include "models/tokenizers/tokenizer.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

using nlohmann::ordered_json;

constexpr const char* kTokenizerFiles[] = {"tokenizer.json",
                                           "tokenizer_config.json",
                                           "special_tokens_map.json",
                                           "added_tokens.json",
                                           "vocab.json",
                                           "merges.txt",
                                           "vocab.txt",
                                           "spiece.model",
                                           "tokenizer.model",
                                           "chat_template.jinja",
                                           "chat_template.json"};
constexpr const char* kSettings[] = {"config.json", "generation_config.json"};
constexpr std::string_view kTemplates = "additional_chat_templates";

template <class List>
bool contains(const List& list, const std::string& name) {
  return std::find(std::begin(list), std::end(list), name) != std::end(list);
}

// The name of a template in its folder.
bool is_template(std::string_view name) {
  return name.ends_with(".jinja") && !name.starts_with(".") && name.find('/') == name.npos;
}

Companions of_directory(const std::string& path) {
  Companions all;
  for (const char* name : kTokenizerFiles)
    if (file_exists(path + "/" + name)) all.tokenizer[name] = read_inside(path, name);
  if (const std::string folder = text(path, "/", kTemplates); is_directory(folder))
    for (const std::string& name : list_directory(folder))
      if (is_template(name)) all.tokenizer[text(kTemplates, "/", name)] = read_inside(path, text(kTemplates, "/", name));
  return all;
}

// Adds the texts in a group of a file of ours.
void add_texts(const Hdf5File& file, const std::string& path, const std::string& group,
               const std::function<std::map<std::string, std::string>*(const std::string&)>& place_of) {
  if (!file.is_group(group)) return;
  for (const std::string& dataset : file.datasets(group)) {
    const std::string name = dataset.substr(group.size() + 1);
    const bool extra = name.starts_with(text(kTemplates, "/")) && is_template(name.substr(kTemplates.size() + 1));
    check_input(extra || contains(kTokenizerFiles, name) || contains(kSettings, name), path, ": a companion called ",
                name.substr(0, 100));
    if (auto* const place = place_of(name))
      for (const std::string& part : file.read_strings(dataset)) (*place)[name] += part;
  }
}

Companions of_hdf5(const std::string& path) {
  const Hdf5File file(path);
  Companions all;
  for (const char* group : {"/tokenizer", "/settings"})
    add_texts(file, path, group,
              [&](const std::string& name) { return contains(kSettings, name) ? nullptr : &all.tokenizer; });
  return all;
}

// What transformers needs beside a tokenizer.json.
std::string tokenizer_config(const GgufVocabulary& v, const std::string& chat_template) {
  ordered_json j{{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"clean_up_tokenization_spaces", false},
                 {"model_input_names", {"input_ids", "attention_mask"}}};
  const auto name = [&](const char* what, const std::optional<int64_t>& id) {
    if (id && *id >= 0 && *id < int64_t(v.tokens.size()) && is_utf8(v.tokens[size_t(*id)]))
      j[what] = v.tokens[size_t(*id)];
  };
  name("bos_token", v.bos_token_id), name("eos_token", v.eos_token_id), name("unk_token", v.unknown_token_id);
  name("pad_token", v.padding_token_id), name("sep_token", v.seperator_token_id), name("cls_token", v.cls_token_id);
  name("mask_token", v.mask_token_id);
  if (!chat_template.empty()) j["chat_template"] = chat_template;
  return j.dump(2) + "\n";
}

Companions of_gguf(const std::string& path) {
  Companions all;
  const GgufFile file(path);
  try {
    if (const auto vocabulary = read_gguf_vocabulary(file.values())) {
      all.tokenizer["tokenizer.json"] = gguf_tokenizer_json(*vocabulary);
      const std::string chat = file.values().find_string("tokenizer.chat_template").value_or("");
      check_input(is_utf8(chat), "tokenizer.chat_template is not UTF-8");
      all.tokenizer["tokenizer_config.json"] = tokenizer_config(*vocabulary, chat);
    }
  } catch (const InputError& error) {
    Progress::say(text("note: ", path, ": its tokenizer stays behind: ", error.what()));
    all.tokenizer.clear();
  }
  return all;
}

}  // namespace

std::string Companions::setting(const std::string& name) const {
  const auto found = settings.find(name);
  return found == settings.end() ? "" : found->second;
}

std::map<std::string, std::string> settings_of(const std::string& path) {
  std::map<std::string, std::string> all;
  if (path.ends_with(".h5"))
    add_texts(Hdf5File(path), path, "/settings",
              [&](const std::string& name) { return contains(kSettings, name) ? &all : nullptr; });
  else if (is_directory(path))
    for (const char* name : kSettings)
      if (file_exists(path + "/" + name)) all[name] = read_inside(path, name);
  return all;
}

Companions companions_of(const std::string& path) {
  Companions all = path.ends_with(".h5") ? of_hdf5(path)
                   : is_directory(path)  ? of_directory(path)
                   : is_gguf(path)       ? of_gguf(path)
                                         : Companions();
  all.settings = settings_of(path);
  if (!is_directory(path)) return all;
  if (all.tokenizer.empty())
    for (const std::string& name : list_directory(path))
      if (name.ends_with(".gguf")) {
        all.tokenizer = of_gguf(path + "/" + name).tokenizer;
        break;
      }
  return all;
}

}  // namespace cambium
