// Byte-pair encoding: a word's characters, or bytes, merged pair by pair in the order in which training found the
// pairs.
//
// Sennrich, Haddow, Birch: Neural Machine Translation of Rare Words with Subword Units (2016), section 3.2.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "models/tokenizers/vocabulary.h"

namespace cambium {

struct BpeSpec {
  std::vector<std::string> tokens;                          // by id, spelled as in the file
  std::vector<std::pair<std::string, std::string>> merges;  // first merged first
  bool byte_level = false;                                  // words are bytes, tokens are spelled in the byte alphabet
  bool byte_fallback = false;          // a character without a token becomes the tokens <0xNN> of its bytes
  bool fuse_unknown = false;           // neighbouring unknown characters become one token
  bool ignore_merges = false;          // a word that is a token is that token
  std::optional<std::string> unknown;  // for characters without a token; without it they are dropped
};

class Bpe {
 public:
  // InputError: a token with two ids, a merge of or into an unknown token.
  explicit Bpe(BpeSpec);

  // Appends the tokens of a word. n bytes take O(n log n) time.
  void tokenize(std::string_view word, std::vector<WordToken>& tokens) const;
  const Vocabulary& vocabulary() const { return vocabulary_; }
  // Vocabularies learned from valid texts may lack bytes that UTF-8 never has.
  bool has_byte(uint8_t byte) const { return byte_ids_[byte] >= 0; }

 private:
  struct Merge {
    uint32_t rank;
    int32_t id;
  };
  struct Symbols;
  struct PairHash {
    size_t operator()(uint64_t pair) const { return size_t((pair ^ pair >> 29) * 0x9E3779B97F4A7C15u >> 7); }
  };

  const Merge* find_merge(int32_t left, int32_t right) const;
  void add_merges(const BpeSpec&);
  std::vector<WordToken> characters(std::string_view word) const;
  bool fall_back(std::string_view character, uint32_t at, std::vector<WordToken>& tokens) const;
  std::optional<int32_t> find_word(std::string_view word) const;

  Vocabulary vocabulary_;
  std::unordered_map<uint64_t, Merge, PairHash> merges_;
  std::array<int32_t, 256> byte_ids_;  // of a byte's own token; -1: none
  std::optional<int32_t> unknown_;
  bool byte_level_, byte_fallback_, fuse_unknown_, ignore_merges_;
};

}  // namespace cambium
