// Generation: greedy, beam search and sampling, in ragged batches, with a cache. The same code for every tuner and for
// decoders and sequence-to-sequence models; meaning and results as transformers' generate.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/model.h"

namespace cambium {

struct GenerationOptions {
  int64_t max_new_tokens = 64, min_new_tokens = 0;
  int64_t beams = 1;
  int64_t results = 1;          // at most as many as beams; sampling: any number, each by itself
  double length_penalty = 1;    // a beam's score is its log probability / length^penalty
  int64_t no_repeat_ngram = 0;  // no n-gram comes twice in a text (input and output together)
  // Sequences of tokens that are never completed; as in transformers one that is an end token alone counts for nothing.
  std::vector<std::vector<int32_t>> forbidden;
  std::optional<std::vector<int32_t>> eos;  // end tokens; absent: the model's
  bool sample = false;
  double temperature = 1, top_p = 1;
  int64_t top_k = 0;
  uint64_t seed = 0;        // of sampling; result r of input i draws from its own numbers
  int64_t batch_size = 32;  // inputs at a time
  bool scores = false;      // greedy and sampling: compute scores (beams always have them)

  // Texts that are written for an input at the same time.
  int64_t width() const { return sample ? results : beams; }
};

struct Generated {
  std::vector<int32_t> ids;  // new tokens, the end token included where it was reached
  double score = 0;          // sum of log probabilities / (number of new tokens)^length_penalty
};

// For each input up to options.results continuations, best first (sampled ones as they were drawn). tuner[i]:
// Sequence::tuner of input i (all 0 if empty). progress is called with the number of finished inputs. Throws InputError
// for inputs that are empty, have ids outside the vocabulary, or do not fit the model's positions, and for options that
// contradict each other.
std::vector<std::vector<Generated>> generate(Model&, Hooks&, const std::vector<std::vector<int32_t>>& inputs,
                                             const GenerationOptions&, const std::vector<int>& tuner = {},
                                             const std::function<void(int64_t)>& progress = {});

}  // namespace cambium
