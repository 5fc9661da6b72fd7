// What the readers of tokenizer files share.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "models/tokenizers/pipeline.h"

namespace cambium {

inline constexpr int64_t kLargestId = (int64_t(1) << 31) - 2;

// Tokens by id, from pairs in any order. Added tokens may stand where the vocabulary has no token. InputError: two
// tokens with one id, an id without a token.
std::vector<std::string> tokens_by_id(const std::vector<std::pair<std::string, int64_t>>& vocabulary,
                                      const std::vector<AddedToken>& added);

// The sections of tokenizer.json. What is not supported is an InputError that names it.
std::vector<Normalizer> read_normalizers(const nlohmann::json&);
std::vector<Decoder> read_decoders(const nlohmann::json&);
struct PreTokenizers {
  std::vector<PreTokenizer> stages;
  bool byte_level = false;
};
PreTokenizers read_pre_tokenizers(const nlohmann::json&);
Pipeline read_tokenizer_json(const nlohmann::json&);

// tokenizer_config.json, special_tokens_map.json, added_tokens.json and the model's config.json, as far as they are
// there.
struct TokenizerSettings {
  std::string kind;                                       // tokenizer_class, or the model_type of config.json
  std::vector<AddedToken> tokens;                         // with ids: from added_tokens_decoder and added_tokens.json
  std::vector<std::pair<std::string, AddedToken>> named;  // bos_token, mask_token, ...: without ids
  std::optional<bool> add_bos, add_eos, add_prefix_space, lower_case, strip_accents, chinese, clean_up;
  std::optional<int64_t> extra_ids;

  const AddedToken* find(std::string_view name) const;
};
TokenizerSettings read_settings(const std::string& directory);
// The id of a token that the settings name: one that is in no vocabulary counts as the unknown token, as in
// transformers.
std::vector<int32_t> sign_of(const Pipeline&, const TokenizerSettings&, const char* name);
// Adds what the settings say to a tokenizer; tokens without an id get the next one.
void apply_settings(Pipeline&, const TokenizerSettings&);

// The id of a token of the pipeline, vocabulary and added tokens.
std::optional<int32_t> id_in(const Pipeline&, std::string_view token);
int64_t vocabulary_size_of(const Pipeline&);
const Vocabulary& vocabulary_of(const Pipeline&);

}  // namespace cambium
