// Unigram language model: the cut of a word into tokens with the largest sum of scores.
//
// Kudo, Subword Regularization (2018), section 3.2; T5's tokenizer.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/tokenizers/prefixes.h"
#include "models/tokenizers/vocabulary.h"

namespace cambium {

struct UnigramSpec {
  std::vector<std::string> tokens;  // by id
  std::vector<double> scores;       // log probabilities
  int32_t unknown = 2;              // neighbouring characters without a token become one of these
};

class Unigram {
 public:
  // InputError: a token with two ids, scores that are no numbers, an unknown id outside the vocabulary.
  explicit Unigram(UnigramSpec);

  void tokenize(std::string_view word, std::vector<WordToken>& tokens) const;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  struct Best;

  Vocabulary vocabulary_;
  std::vector<double> scores_;
  Prefixes prefixes_;
  int32_t unknown_;
  double unknown_score_;
};

}  // namespace cambium
