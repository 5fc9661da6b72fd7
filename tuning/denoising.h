// Objectives that hide parts of a text: masked LM, span corruption, prefix LM and BART's denoising. Examples carry ids
// alone; random choices are functions of (key, index of the example).
#pragma once

#include "tuning/objective.h"

namespace cambium {

// Tokens that a tokenizer puts around every text: [CLS] ... [SEP], <s> ... </s>, ... </s>.
struct Framing {
  std::vector<int32_t> before, after;

  std::vector<int32_t> around(const std::vector<int32_t>& ids) const;
};

// Which tokens begin a word, by id; empty: every token does.
using WordStarts = std::vector<bool>;

// 15 % of the tokens are asked for; of these 80 % are shown as the mask token, 10 % as a random token, 10 % as they
// are.
//                                                                            (Devlin et al. 2019, section 3.1)
// The number of chosen tokens is round(rate * n), at least 1, where n counts all tokens, those of the framing too, as
// in the authors' code. whole_words: all tokens of a chosen word are, where they fit into that number (the authors'
// whole word masking); where no word fits, the shortest is chosen, because nothing to answer is no example.
class MaskedLm : public Objective {
 public:
  struct Options {
    double rate = 0.15, masked = 0.8, random = 0.1;
    int32_t mask = 0;        // id
    int64_t vocabulary = 0;  // random tokens come from all of it
    bool whole_words = false;
    WordStarts starts;           // needed for whole words
    std::vector<int32_t> never;  // tokens that are never asked for: special ones
    Framing framing;
  };
  explicit MaskedLm(Options);
  std::string description() const override;
  Sequence view(const Sequence&, RandomKey) const override;
  bool is_random() const override { return true; }

 private:
  Options options_;
};

// Which of `length` tokens are noise: spans of noise and of other tokens take turns, starting with other tokens.
// round(length * density) tokens in round(that / mean_length) spans (each at least 1); both kinds are cut into spans
// uniformly at random.    (Raffel et al. 2020, section 3.1.4; random_spans_noise_mask of the authors' code)
std::vector<bool> span_noise(int64_t length, double density, double mean_length, Draws&);
// How many tokens of text give inputs of at most `inputs` tokens, sentinels and `framing` tokens included.
int64_t span_corruption_text(int64_t inputs, double density, double mean_length, int64_t framing);

// Each span of noise becomes a sentinel in the input; the target is the sentinels, each with its span. For
// sequence-to-sequence models.                                                                   (Raffel et al. 2020,
// section 3.1.4)
class SpanCorruption : public Objective {
 public:
  struct Options {
    double density = 0.15, mean_length = 3;
    int32_t first_sentinel = 32099;  // the others count down from it
    int64_t sentinels = 100;
    Framing framing;  // of inputs and targets: an end token behind
  };
  explicit SpanCorruption(Options);
  std::string description() const override;
  Sequence view(const Sequence&, RandomKey) const override;
  bool is_random() const override { return true; }

 private:
  Options options_;
};

// A text is cut at a random place; what follows is to be written after what stands before it. The cut is uniform among
// all places inside the text.        (Raffel et al. 2020, section 3.2.3; Lester et al. 2021, "LM adaptation")
// Sequence-to-sequence models read the first part in the encoder. Decoders see it causally, as everywhere here, and it
// is not scored.
class PrefixLm : public Objective {
 public:
  PrefixLm(bool seq2seq, Framing framing) : seq2seq_(seq2seq), framing_(std::move(framing)) {}
  std::string description() const override { return "prefix lm"; }
  Sequence view(const Sequence&, RandomKey) const override;
  bool is_random() const override { return true; }

 private:
  bool seq2seq_;
  Framing framing_;
};

// BART's noise: sentences change places, and spans of words become one mask token each; lengths of spans are Poisson's,
// those of length 0 insert a mask. The target is the whole text.            (Lewis et al. 2020, section 2.2)
// As fairseq's denoising data set has it: a tenth of the spans becomes a random token instead; a sentence ends behind
// the first of a run of ending tokens.
class BartDenoising : public Objective {
 public:
  struct Options {
    double rate = 0.3;    // of the words
    double poisson = 3;   // mean length of spans, in words
    double permuted = 1;  // share of the sentences that change places
    double random = 0.1;  // share of the spans, and, rounded up, of the empty ones, that become a random token
    int32_t mask = 0;
    int64_t vocabulary = 0;              // random tokens come from all of it but the first
    std::vector<int32_t> sentence_ends;  // tokens that end a sentence
    WordStarts starts;
    Framing framing;
  };
  explicit BartDenoising(Options);
  std::string description() const override;
  Sequence view(const Sequence&, RandomKey) const override;
  bool is_random() const override { return true; }

  // The two parts of the noise, for tests.
  std::vector<int32_t> permuted(const std::vector<int32_t>& ids, Draws&) const;
  std::vector<int32_t> infilled(const std::vector<int32_t>& ids, Draws&) const;

 private:
  int64_t span_length(Draws&) const;
  Options options_;
  std::vector<double> cumulative_;  // of Poisson's distribution
};

}  // namespace cambium
