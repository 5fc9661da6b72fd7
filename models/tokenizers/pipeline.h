// A tokenizer as a row of stages: added tokens, normalizers, pre-tokenizers, a model, tokens around the text, decoders.
//
// The stages and their order are those of Hugging Face's tokenizers library, so that every file it reads can be
// followed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "models/tokenizers/added_tokens.h"
#include "models/tokenizers/bpe.h"
#include "models/tokenizers/decoders.h"
#include "models/tokenizers/normalizers.h"
#include "models/tokenizers/pre_tokenizers.h"
#include "models/tokenizers/tokenizer.h"
#include "models/tokenizers/unigram.h"
#include "models/tokenizers/wordpiece.h"

namespace cambium {

struct Pipeline {
  std::variant<Bpe, WordPiece, Unigram> model;
  std::vector<AddedToken> added;  // ids of the model's vocabulary, or those that follow it, without gaps
  std::vector<Normalizer> normalizers;
  std::vector<PreTokenizer> pre_tokenizers;
  std::vector<Decoder> decoders;        // without any, tokens are joined with blanks
  std::vector<int32_t> prefix, suffix;  // around a text
  std::optional<PairFraming> pair;      // around two texts
  bool bytes = false;                   // the model's words are bytes, which need not be UTF-8
  bool trim_offsets = false;            // spans do not contain blanks at the ends of a token
  bool clean_up = false;                // transformers' cleaned_up after decoding
};

// [CLS] A [SEP] B [SEP], the second text with what follows it of segment 1 (Devlin et al. 2019), and <s> A </s></s> B
// </s> (Liu et al. 2019), from what stands around one text.
inline PairFraming bert_pair(const Pipeline& p) { return {p.prefix, p.suffix, p.suffix, 1}; }
inline PairFraming roberta_pair(const Pipeline& p) {
  PairFraming pair{p.prefix, p.suffix, p.suffix, 0};
  pair.between.insert(pair.between.end(), p.suffix.begin(), p.suffix.end());
  return pair;
}

// InputError: ids that contradict each other.
std::unique_ptr<const Tokenizer> make_tokenizer(Pipeline);

}  // namespace cambium
