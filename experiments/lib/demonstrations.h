// Few-shot prompting: examples with their answers in front of an input, for a model that is not tuned. (Brown et al.
// 2020, section 2)
#pragma once

#include <cstdint>
#include <vector>

#include "experiments/lib/tasks/task.h"

namespace cambium {

// Tokens of nothing but line ends ("\n", "\n\n"); none where the tokenizer takes line ends for blanks.
std::vector<int32_t> line_ends(const Tokenizer&);

struct Demonstrations {
  int64_t count = 0;  // 0: the input alone
  uint64_t seed = 0;  // which ones: the first that a tuner with this seed would be trained on
};

// Prompts behind demonstrations: input, target and a line end of each, then the input. Where a prompt and what the
// model writes would be longer than its positions, it has fewer demonstrations, the first ones.
class DemonstratedPrompts {
 public:
  // new_tokens: that a decoder must have room for. Throws InputError for more demonstrations than training examples.
  DemonstratedPrompts(const Demonstrations&, const Task&, const Tokenizer&, const ModelConfig&, int64_t new_tokens);

  // The tokens of a prompt, with those that the tokenizer puts around a text.
  std::vector<int32_t> prompt(const std::string& input);
  // Of all prompts so far: those with fewer demonstrations than asked for, and the fewest that one has.
  int64_t cut() const { return cut_; }
  int64_t fewest() const { return fewest_; }
  // A line on standard error where prompts had to be cut.
  void say_cut(int64_t prompts) const;

 private:
  std::vector<int32_t> input_tokens(const std::string& input) const;

  const Task& task_;
  const Tokenizer& tokenizer_;
  const ModelConfig& config_;
  Framing framing_;
  int64_t longest_;  // tokens of a prompt; 0: any number
  std::vector<std::vector<int32_t>> shown_;
  int64_t cut_ = 0, fewest_ = 0;
};

}  // namespace cambium
