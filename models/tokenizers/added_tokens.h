// Tokens that are found in the text before anything else is done with it: special ones, and those added by users.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizers/prefixes.h"
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
  AddedTokenFinder(AddedTokenFinder&&) = default;
  AddedTokenFinder& operator=(AddedTokenFinder&&) = default;

  struct Part {
    ByteRange range;
    int32_t id;  // -1: text between tokens
  };
  // The parts of a text, in order, without empty ones.
  std::vector<Part> split(std::string_view text) const;

 private:
  std::vector<AddedToken> tokens_;
  Prefixes prefixes_;  // by index in tokens_
};

}  // namespace cambium
