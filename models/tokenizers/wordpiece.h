// WordPiece: a word is cut into the longest tokens, from left to right.
//
// Wu et al., Google's Neural Machine Translation System (2016), section 4.1; greedy as in BERT's release.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizers/prefixes.h"
#include "models/tokenizers/vocabulary.h"

namespace cambium {

struct WordPieceSpec {
  std::vector<std::string> tokens;  // by id
  std::string unknown = "[UNK]";    // for words that cannot be cut into tokens, and for long ones
  std::string prefix = "##";        // of tokens within a word
  size_t longest_word = 100;        // characters
};

class WordPiece {
 public:
  // InputError: a token with two ids, an unknown token that is not in the vocabulary.
  explicit WordPiece(WordPieceSpec);

  void tokenize(std::string_view word, std::vector<WordToken>& tokens) const;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  Vocabulary vocabulary_;
  int32_t unknown_;
  Prefixes first_, later_;  // tokens at the start of a word, and within, without the prefix
  size_t longest_word_;     // characters
};

}  // namespace cambium
