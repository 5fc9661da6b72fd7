// The tokenizer in a GGUF file: byte-level BPE, with words as the name of its pre-tokenizer says.
//
// The names and their patterns are those of llama.cpp (src/llama-vocab.cpp).
#include <algorithm>
#include <map>

#include "core/json.h"
#include "models/tokenizers/readers.h"

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

std::vector<PreTokenizer> words_of(Words words) {
  const auto isolated = [](const std::string& pattern) {
    return split_by_pattern(pattern, SplitBehavior::isolated, false);
  };
  // What llama 3 and Qwen 2 differ in is the longest run of digits.
  const auto cl100k = [&](const std::string& digits) {
    return isolated(R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + digits +
                    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");
  };
  switch (words) {
    case Words::gpt2: return {byte_level_words()};
    case Words::digits: return {isolated(R"(\p{N})"), byte_level_words()};
    case Words::llama3: return {cl100k(R"(\p{N}{1,3})")};
    case Words::qwen2: return {cl100k(R"(\p{N})")};
    case Words::falcon: return {isolated(R"([\p{P}\$\+<=>\^~\|`]+)"), byte_level_words(), isolated("[0-9][0-9][0-9]")};
    case Words::unnamed:
      return {isolated(R"([\p{P}\$\+<=>\^~\|]+)"), byte_level_words(), isolated(R"(\p{N}+)"),
              isolated("[0-9][0-9][0-9]")};
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
    if (control || user) added.push_back({.id = int32_t(id), .content = v.tokens[id], .special = control});
  }
  return added;
}

}  // namespace

std::unique_ptr<const Tokenizer> make_gguf_tokenizer(const GgufVocabulary& v) {
  check_input(v.model == "gpt2", "tokenizer.ggml.model is \"", v.model,
              "\"; only byte-level BPE, \"gpt2\", is supported in GGUF files");
  const auto named = known_names().find(v.pre);
  check_input(named != known_names().end(), "tokenizer.ggml.pre is \"", v.pre,
              "\", a pre-tokenizer that is not known here; known: ", list_of_names());
  const Words words = named->second;
  check_input(!v.tokens.empty(), "tokenizer.ggml.tokens is empty");
  const bool llama3 = words == Words::llama3 && v.pre != "dbrx" && v.pre != "smaug-bpe",
             roberta = v.pre == "roberta-bpe";
  BpeSpec spec{.tokens = v.tokens, .byte_level = true, .ignore_merges = llama3};
  for (const std::string& merge : v.merges) spec.merges.push_back(merge_of(merge, spec.merges.size()));
  Pipeline p{.model = Bpe(std::move(spec)),
             .added = added_tokens(v),
             .pre_tokenizers = words_of(words),
             .decoders = {byte_level_decoder()},
             .bytes = true};
  if (v.add_bos_token.value_or(llama3 || roberta)) p.prefix = {sign(v, v.bos_token_id, "bos_token_id")};
  if (v.add_eos_token.value_or(roberta)) p.suffix = {sign(v, v.eos_token_id, "eos_token_id")};
  return make_tokenizer(std::move(p));
}

}  // namespace cambium
