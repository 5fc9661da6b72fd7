// Unigram language model: the cut of a word into tokens with the largest sum of scores.
//
// Kudo, Subword Regularization (2018), section 3.2; T5's tokenizer.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

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
  struct Entry {
    std::string_view token;
    int32_t id;
    bool operator<(const Entry& other) const { return token < other.token; }
  };
  // f(id, length) for each token that `text` begins with, shortest first.
  template <class F>
  void for_each_prefix(std::string_view text, const F& f) const;

  Vocabulary vocabulary_;
  std::vector<double> scores_;
  std::vector<Entry> sorted_;
  std::array<uint32_t, 257> first_;  // where the tokens that begin with a byte start in sorted_
  int32_t unknown_;
  double unknown_score_;
};

}  // namespace cambium
