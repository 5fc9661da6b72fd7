// tokenizer_config.json and the small files beside it.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/files.h"
#include "core/json.h"
#include "models/tokenizers/readers.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr int64_t kFileBytes = int64_t(64) << 20;
constexpr const char* kNames[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

constexpr std::string_view kExtra = "extra";  // the name of tokens without a name

// A token as a string or an object. A special one is looked for in the text as it is, unless it says otherwise.
AddedToken token_of(const json& j, bool special) {
  if (j.is_string()) return {.content = j.get<std::string>(), .special = special, .normalized = !special};
  check_input(j.is_object(), "a token is ", brief(j), "; expected a string or an object with \"content\"");
  const auto flag = [&](const char* name, bool otherwise) { return find_bool(j, name).value_or(otherwise); };
  const bool is_special = flag("special", special);
  return {.content = get_string(j, "content"),
          .special = is_special,
          .normalized = flag("normalized", !is_special),
          .single_word = flag("single_word", false),
          .lstrip = flag("lstrip", false),
          .rstrip = flag("rstrip", false)};
}

void read_named(const json& j, TokenizerSettings& out) {
  const auto add = [&](std::string_view name, const json& value) {
    AddedToken t = token_of(value, true);
    t.special = true;
    if (name != kExtra && out.find(name)) return;  // the first file counts
    out.named.emplace_back(name, std::move(t));
  };
  for (const char* name : kNames)
    if (const json* value = find_field(j, name)) add(name, *value);
  for (const char* name : {"additional_special_tokens", "extra_special_tokens"})
    if (const json* list = find_field(j, name)) {
      check_input(list->is_array() || list->is_object(), "\"", name, "\" is ", brief(*list), "; expected an array");
      for (const json& value : *list) add(kExtra, value);
    }
}

void read_config(const json& j, TokenizerSettings& out) {
  out.kind = find_string(j, "tokenizer_class").value_or("");
  out.add_bos = find_bool(j, "add_bos_token"), out.add_eos = find_bool(j, "add_eos_token");
  out.add_prefix_space = find_bool(j, "add_prefix_space");
  out.lower_case = find_bool(j, "do_lower_case"), out.strip_accents = find_bool(j, "strip_accents");
  out.chinese = find_bool(j, "tokenize_chinese_chars"), out.clean_up = find_bool(j, "clean_up_tokenization_spaces");
  out.extra_ids = find_int(j, "extra_ids", 0, 1 << 20);
  if (const json* list = find_field(j, "added_tokens_decoder")) {
    check_input(list->is_object(), "\"added_tokens_decoder\" is ", brief(*list), "; expected an object");
    for (const auto& [key, value] : list->items()) {
      AddedToken t = token_of(value, false);
      const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), t.id);
      check_input(error == std::errc() && end == key.data() + key.size() && t.id >= 0 && t.id <= kLargestId,
                  "\"added_tokens_decoder\" has the id ", brief(json(key)));
      out.tokens.push_back(std::move(t));
    }
  }
  read_named(j, out);
}

}  // namespace

const AddedToken* TokenizerSettings::find(std::string_view name) const {
  const auto found = std::find_if(named.begin(), named.end(), [&](const auto& pair) { return pair.first == name; });
  return found == named.end() ? nullptr : &found->second;
}

std::vector<int32_t> sign_of(const Pipeline& p, const TokenizerSettings& settings, const char* name) {
  const AddedToken* const token = settings.find(name);
  check_input(token, "the setting \"", name, "\" is missing");
  if (const auto id = id_in(p, token->content)) return {*id};
  const AddedToken* const unknown = settings.find("unk_token");
  const auto id = unknown ? id_in(p, unknown->content) : std::nullopt;
  check_input(bool(id), "the setting \"", name, "\" is ", brief(json(token->content)),
              ", which is no token of the vocabulary");
  return {*id};
}

TokenizerSettings read_settings(const std::string& directory) {
  TokenizerSettings out;
  const auto read = [&](const char* name, const auto& f) {
    const std::string path = directory + "/" + name;
    if (file_exists(path)) reading(path, [&] { f(parse_json(read_text_file(path, kFileBytes), "JSON")); });
  };
  read("tokenizer_config.json", [&](const json& j) { read_config(j, out); });
  read("special_tokens_map.json", [&](const json& j) { read_named(j, out); });
  read("added_tokens.json", [&](const json& j) {
    check_input(j.is_object(), "the file is ", brief(j), "; expected an object");
    std::unordered_set<int32_t> known;
    for (const AddedToken& t : out.tokens) known.insert(t.id);
    for (const auto& [token, _] : j.items()) {
      AddedToken t{
          .id = int32_t(get_int(j, token, 0, kLargestId)), .content = token, .special = false, .normalized = true};
      if (known.insert(t.id).second) out.tokens.push_back(std::move(t));
    }
  });
  if (out.kind.empty())
    read("config.json", [&](const json& j) { out.kind = find_string(j, "model_type").value_or(""); });
  std::sort(out.tokens.begin(), out.tokens.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  return out;
}

void apply_settings(Pipeline& p, const TokenizerSettings& settings) {
  std::unordered_set<std::string> contents;
  for (const AddedToken& t : p.added) contents.insert(t.content);
  int64_t next = vocabulary_size_of(p);
  const auto add = [&](AddedToken token, bool numbered) {
    if (token.content.empty() || !contents.insert(token.content).second) return;
    const auto known = vocabulary_of(p).find(token.content);
    check_input(!numbered || token.id == int64_t(known.value_or(int32_t(next))), "the token \"", token.content,
                "\" has the id ", token.id, " in the settings, and ", known.value_or(int32_t(next)),
                " in the vocabulary");
    token.id = known.value_or(int32_t(next));
    next = std::max(next, int64_t(token.id) + 1);
    p.added.push_back(std::move(token));
  };
  for (const AddedToken& t : settings.tokens) add(t, true);
  for (const auto& [_, t] : settings.named) add(t, false);
  p.clean_up = settings.clean_up.value_or(false) && !std::holds_alternative<Bpe>(p.model);
  if (settings.add_bos || settings.add_eos) {
    const auto sign = [&](bool wanted, const char* name) {
      return wanted && settings.find(name) ? sign_of(p, settings, name) : std::vector<int32_t>();
    };
    p.prefix = sign(settings.add_bos.value_or(false), "bos_token"),
    p.suffix = sign(settings.add_eos.value_or(false), "eos_token");
  }
}

}  // namespace cambium
