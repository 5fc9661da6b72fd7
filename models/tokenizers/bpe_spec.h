// What defines a byte-level BPE tokenizer, and where it can be read from.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/tokenizers/tokenizer.h"

namespace cambium {

struct BpeSpec {
  std::vector<std::string> tokens;  // by id
  std::vector<std::string> merges;  // "left right", first merged first
};

// The tokenizer.ggml.* metadata of a GGUF file.
struct GgufVocabulary {
  std::string model, pre;
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> token_type;  // 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte
  std::optional<int64_t> bos_token_id, eos_token_id, unknown_token_id, padding_token_id, seperator_token_id, cls_token_id, mask_token_id;
  std::optional<bool> add_bos_token, add_eos_token;
};

BpeSpec bpe_spec_of_gguf(const GgufVocabulary&);
std::unique_ptr<const Tokenizer> make_bpe_tokenizer(BpeSpec);

}  // namespace cambium
