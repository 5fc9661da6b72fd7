// What all ways of generation share: a batch of texts that grow by one token a step.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "cuda/graph.h"
#include "models/cache.h"
#include "models/generation.h"

namespace cambium {

// Throws InputError unless an input and its new tokens fit the model's positions; tuner: its Sequence::tuner.
void check_input_length(const Model&, const Hooks&, std::span<const int32_t> input, int tuner,
                        const GenerationOptions&);

// One text being written, in one slot of the cache.
struct Hypothesis {
  int64_t input = 0;            // number of its input
  std::vector<int32_t> tokens;  // decoder's tokens: the input's (or the start token), then new ones
  int64_t given = 0;            // how many of them were given
  double log_probability = 0;

  int64_t written() const { return int64_t(tokens.size()) - given; }
};

// The model side of a group of inputs: prefill, then steps of one token.
class Decoding {
 public:
  // Slots for `width` hypotheses of each input (GenerationOptions::width), `width * i` ... the slots of input i.
  Decoding(Model&, Hooks&, const GenerationOptions&, std::span<const std::vector<int32_t>> inputs,
           std::span<const int> tuner);

  // The first hypothesis of each input, without new tokens.
  std::vector<Hypothesis> start() const;
  // Logits [n, vocabulary] behind the last token of each hypothesis; slot[i] is where hypothesis i lives. The first
  // call reads all tokens, later ones the last.
  Tensor logits(const std::vector<const Hypothesis*>& hypotheses, const std::vector<int32_t>& slot);
  // Sets to -inf what options forbid behind each hypothesis, and all but the token that the configuration forces.
  void mask(const std::vector<const Hypothesis*>& hypotheses, const Tensor& logits) const;
  bool is_end(int32_t token) const;
  const std::vector<int32_t>& eos() const { return eos_; }
  DecoderCache& cache() { return *cache_; }
  const gpu::StepGraphs& graphs() const { return graphs_; }

 private:
  Tensor step(const std::vector<const Hypothesis*>& hypotheses);
  void force(const std::vector<const Hypothesis*>& hypotheses, const Tensor& logits) const;

  Model& model_;
  const GenerationOptions& options_;
  std::vector<std::vector<int32_t>> given_;  // what the decoder starts from
  std::vector<int> tuner_;
  std::vector<int32_t> eos_;
  Pass pass_;
  std::unique_ptr<DecoderCache> cache_;
  bool started_ = false;
  gpu::StepGraphs graphs_;
  Memory memory_;  // of sequence-to-sequence models
};

// Ways to write: continue hypotheses until they end, and hand over what each input got.
std::vector<std::vector<Generated>> write_one_by_one(Decoding&, const GenerationOptions&, int64_t inputs,
                                                     int64_t first_input);
std::vector<std::vector<Generated>> beam_search(Decoding&, const GenerationOptions&, int64_t inputs);

}  // namespace cambium
