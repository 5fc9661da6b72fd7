// The tokenizer in a GGUF file: byte-level BPE, with words as the name of its pre-tokenizer says.
//
// The names and their patterns are those of llama.cpp (src/llama-vocab.cpp).
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "models/files/gguf_values.h"
#include "models/tokenizers/readers.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

enum class Words { gpt2, digits, llama3, qwen2, falcon, unnamed };

// A llama3 tokenizer also takes a word that is a token as it is, and begins with its first token.
const std::map<std::string, Words, std::less<>>& known_names() {
  static const std::map<std::string, Words, std::less<>> names = {
      {"", Words::unnamed},          {"default", Words::unnamed},
      {"gpt-2", Words::gpt2},        {"phi-2", Words::gpt2},
      {"roberta-bpe", Words::gpt2},  {"jina-es", Words::gpt2},
      {"jina-de", Words::gpt2},      {"jina-v2-es", Words::gpt2},
      {"jina-v2-de", Words::gpt2},   {"mpt", Words::gpt2},
      {"olmo", Words::gpt2},         {"modern-bert", Words::gpt2},
      {"smollm", Words::digits},     {"starcoder", Words::digits},
      {"refact", Words::digits},     {"command-r", Words::digits},
      {"codeshell", Words::digits},  {"exaone", Words::digits},
      {"minerva-7b", Words::digits}, {"llama-bpe", Words::llama3},
      {"llama3", Words::llama3},     {"llama-v3", Words::llama3},
      {"falcon3", Words::llama3},    {"pixtral", Words::llama3},
      {"dbrx", Words::llama3},       {"smaug-bpe", Words::llama3},
      {"qwen2", Words::qwen2},       {"deepseek-r1-qwen", Words::qwen2},
      {"stablelm2", Words::qwen2},   {"falcon", Words::falcon}};
  return names;
}

// Patterns that cut a text into words, one after the other.
std::vector<std::string> patterns_of(Words words) {
  // What llama 3 and Qwen 2 differ in is the longest run of digits.
  const auto cl100k = [&](const std::string& digits) {
    return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + digits +
           R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  };
  switch (words) {
    case Words::gpt2: return {kByteLevelWords};
    case Words::digits: return {R"(\p{N})", kByteLevelWords};
    case Words::llama3: return {cl100k(R"(\p{N}{1,3})")};
    case Words::qwen2: return {cl100k(R"(\p{N})")};
    case Words::falcon: return {R"([\p{P}\$\+<=>\^~\|`]+)", kByteLevelWords, "[0-9][0-9][0-9]"};
    case Words::unnamed: return {R"([\p{P}\$\+<=>\^~\|]+)", kByteLevelWords, R"(\p{N}+)", "[0-9][0-9][0-9]"};
  }
  return {};
}

std::string list_of_names() {
  std::string list;
  for (const auto& [name, _] : known_names())
    if (!name.empty()) list += (list.empty() ? "" : ", ") + name;
  return list;
}

std::pair<std::string, std::string> merge_of(const std::string& merge, size_t rank) {
  // A token may begin with a blank of its own only in tokenizers that are not byte-level.
  const size_t blank = merge.find(' ', 1);
  check_input(blank != merge.npos, "tokenizer.ggml.merges: merge ", rank, ", \"", merge,
              "\", is not two tokens with a blank between");
  return {merge.substr(0, blank), merge.substr(blank + 1)};
}

int32_t sign(const GgufVocabulary& v, const std::optional<int64_t>& id, const char* name) {
  check_input(id && *id >= 0 && *id < int64_t(v.tokens.size()), "tokenizer.ggml.", name,
              id ? text(" is ", *id) : std::string(" is missing"), "; the vocabulary has ", v.tokens.size(), " tokens");
  return int32_t(*id);
}

std::vector<AddedToken> added_tokens(const GgufVocabulary& v) {
  check_input(v.token_type.empty() || v.token_type.size() == v.tokens.size(), "tokenizer.ggml.token_type has ",
              v.token_type.size(), " entries, tokenizer.ggml.tokens ", v.tokens.size());
  std::vector<AddedToken> added;
  for (size_t id = 0; id < v.token_type.size(); ++id) {
    const int32_t type = v.token_type[id];
    check_input(type >= 0 && type <= 6, "tokenizer.ggml.token_type[", id, "] is ", type, "; expected 1 to 6");
    const bool control = type == 3 || type == 2, user = type == 4;
    if (!control && !user) continue;
    // What stands between added tokens must be whole characters.
    check_input(is_utf8(v.tokens[id]), "tokenizer.ggml.tokens[", id, "], an added token, is not UTF-8");
    added.push_back({.id = int32_t(id), .content = v.tokens[id], .special = control});
  }
  return added;
}

// What the names and flags of a vocabulary stand for.
struct Scheme {
  std::vector<std::string> patterns;
  bool whole_words = false;             // a word that is a token stays as it is
  std::vector<int32_t> prefix, suffix;  // around a text
};

Scheme scheme_of(const GgufVocabulary& v) {
  check_input(v.model == "gpt2", "tokenizer.ggml.model is \"", v.model,
              "\"; only byte-level BPE, \"gpt2\", is supported in GGUF files");
  const auto named = known_names().find(v.pre);
  check_input(named != known_names().end(), "tokenizer.ggml.pre is \"", v.pre,
              "\", a pre-tokenizer that is not known here; known: ", list_of_names());
  check_input(!v.tokens.empty(), "tokenizer.ggml.tokens is empty");
  const bool llama3 = named->second == Words::llama3 && v.pre != "dbrx" && v.pre != "smaug-bpe",
             roberta = v.pre == "roberta-bpe";
  Scheme scheme{.patterns = patterns_of(named->second), .whole_words = llama3};
  if (v.add_bos_token.value_or(llama3 || roberta)) scheme.prefix = {sign(v, v.bos_token_id, "bos_token_id")};
  if (v.add_eos_token.value_or(roberta)) scheme.suffix = {sign(v, v.eos_token_id, "eos_token_id")};
  return scheme;
}

using nlohmann::ordered_json;

// TemplateProcessing for one text and for two.
ordered_json template_of(const GgufVocabulary& v, const Scheme& scheme) {
  ordered_json signs = ordered_json::object();
  const auto around = [&](ordered_json& list, const char* text, int number) {
    const auto add = [&](int32_t id) {
      const std::string& token = v.tokens[size_t(id)];
      signs[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
      list.push_back({{"SpecialToken", {{"id", token}, {"type_id", number}}}});
    };
    for (const int32_t id : scheme.prefix) add(id);
    list.push_back({{"Sequence", {{"id", text}, {"type_id", number}}}});
    for (const int32_t id : scheme.suffix) add(id);
  };
  ordered_json single = ordered_json::array(), pair = ordered_json::array();
  around(single, "A", 0);
  around(pair, "A", 0), around(pair, "B", 1);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", signs}};
}

}  // namespace

std::optional<GgufVocabulary> read_gguf_vocabulary(const GgufValues& values) {
  const auto key = [](const char* name) { return std::string("tokenizer.ggml.") + name; };
  if (!values.has(key("tokens"))) return {};
  GgufVocabulary v;
  v.model = values.get_string(key("model"));
  v.pre = values.find_string(key("pre")).value_or("");
  v.tokens = values.get_strings(key("tokens"));
  if (values.has(key("merges"))) v.merges = values.get_strings(key("merges"));
  if (values.has(key("token_type")))
    for (const int64_t type : values.get_ints(key("token_type"))) v.token_type.push_back(int32_t(type));
  const auto id = [&](const char* name) { return values.find_int(key(name)); };
  v.bos_token_id = id("bos_token_id"), v.eos_token_id = id("eos_token_id");
  v.unknown_token_id = id("unknown_token_id"), v.padding_token_id = id("padding_token_id");
  v.seperator_token_id = id("seperator_token_id"), v.cls_token_id = id("cls_token_id");
  v.mask_token_id = id("mask_token_id");
  v.add_bos_token = values.find_bool(key("add_bos_token")), v.add_eos_token = values.find_bool(key("add_eos_token"));
  return v;
}

std::unique_ptr<const Tokenizer> make_gguf_tokenizer(const GgufVocabulary& v) {
  const Scheme scheme = scheme_of(v);
  BpeSpec spec{.tokens = v.tokens, .byte_level = true, .ignore_merges = scheme.whole_words};
  for (const std::string& merge : v.merges) spec.merges.push_back(merge_of(merge, spec.merges.size()));
  Pipeline p{.model = Bpe(std::move(spec)), .added = added_tokens(v)};
  for (const std::string& pattern : scheme.patterns)
    p.pre_tokenizers.push_back(split_by_pattern(pattern, SplitBehavior::isolated, false));
  p.decoders = {byte_level_decoder()};
  p.bytes = true;
  p.prefix = scheme.prefix, p.suffix = scheme.suffix;
  return make_tokenizer(std::move(p));
}

std::string gguf_tokenizer_json(const GgufVocabulary& v) {
  const Scheme scheme = scheme_of(v);
  ordered_json vocabulary = ordered_json::object(), added = ordered_json::array();
  for (const auto* list : {&v.tokens, &v.merges})
    for (const std::string& s : *list) check_input(is_utf8(s), "a token of tokenizer.ggml is not UTF-8");
  for (size_t i = 0; i < v.tokens.size(); ++i) vocabulary[v.tokens[i]] = i;
  for (const AddedToken& t : added_tokens(v))
    added.push_back({{"id", t.id},
                     {"content", t.content},
                     {"single_word", t.single_word},
                     {"lstrip", t.lstrip},
                     {"rstrip", t.rstrip},
                     {"normalized", t.normalized},
                     {"special", t.special}});
  const bool plain = scheme.patterns == std::vector<std::string>{kByteLevelWords};
  const ordered_json bytes = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", plain}};
  ordered_json words = bytes, around = bytes;
  if (!plain) {
    words = {{"type", "Sequence"}, {"pretokenizers", ordered_json::array()}};
    for (const std::string& pattern : scheme.patterns)
      words["pretokenizers"].push_back(
          {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
    words["pretokenizers"].push_back(bytes);
  }
  if (!scheme.prefix.empty() || !scheme.suffix.empty())
    around = {{"type", "Sequence"}, {"processors", {bytes, template_of(v, scheme)}}};
  return ordered_json{{"version", "1.0"},
                      {"truncation", nullptr},
                      {"padding", nullptr},
                      {"added_tokens", added},
                      {"normalizer", nullptr},
                      {"pre_tokenizer", words},
                      {"post_processor", around},
                      {"decoder", bytes},
                      {"model",
                       {{"type", "BPE"},
                        {"dropout", nullptr},
                        {"unk_token", nullptr},
                        {"continuing_subword_prefix", nullptr},
                        {"end_of_word_suffix", nullptr},
                        {"fuse_unk", false},
                        {"byte_fallback", false},
                        {"ignore_merges", scheme.whole_words},
                        {"vocab", vocabulary},
                        {"merges", v.merges}}}}
      .dump();
}

}  // namespace cambium
