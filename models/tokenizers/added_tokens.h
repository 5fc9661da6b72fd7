// Tokens that are found in the text before anything else is done with it: special ones, and those added by users.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizers/tokenizer.h"

namespace cambium {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = true;
  bool normalized = false;   // looked for in the normalized text, and normalized itself
  bool single_word = false;  // not within a word
  bool lstrip = false;       // takes the blanks on its left with it
  bool rstrip = false;
};

// Finds tokens: the leftmost, of those the longest.
class AddedTokenFinder {
 public:
  // The contents are what is looked for; empty ones are never found.
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);
  AddedTokenFinder(AddedTokenFinder&&) noexcept;
  AddedTokenFinder& operator=(AddedTokenFinder&&) noexcept;
  ~AddedTokenFinder();

  struct Part {
    ByteRange range;
    int32_t id;  // -1: text between tokens
  };
  // The parts of a text, in order, without empty ones.
  std::vector<Part> split(std::string_view text) const;

 private:
  struct Node;
  size_t longest_at(std::string_view text, size_t at, const AddedToken*& token) const;

  std::vector<AddedToken> tokens_;
  std::vector<Node> trie_;
  std::array<bool, 256> starts_{};  // bytes that some token begins with
};

}  // namespace cambium
