// Tasks: data in their official files, how an example becomes text, and what scores the outputs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "models/generation.h"
#include "models/layout.h"
#include "models/tokenizers/tokenizer.h"
#include "tuning/denoising.h"
#include "tuning/examples.h"

namespace cambium {

enum class Split : uint8_t { train, dev, test };
Split split_named(const std::string&);

// What the model reads and what it should write.
struct TextPair {
  std::string input, target;
};

// One input of an evaluation with all its references.
struct EvaluationItem {
  std::string input;
  std::vector<std::string> references;
};

// A text and the number of its class.
struct LabelledText {
  std::string text;
  int label = 0;
};

// How a class becomes a word inside a text, for models that fill masks: text + before + MASK + after, where MASK stands
// for the class's word. A blank stands between text and `before` and between `before` and MASK, none behind MASK.
struct Cloze {
  std::string before, after;
  std::vector<std::string> words;
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::string name() const = 0;
  virtual std::string metric() const = 0;  // for metrics::score
  // A text that suits the task, for prompts and prefixes that start from real words.
  virtual std::string words() const = 0;
  // The classes' names, which text-to-text models write; empty where answers are free texts.
  virtual std::vector<std::string> labels() const { return {}; }
  bool is_classification() const { return !labels().empty(); }

  // All training examples, in the order of the file.
  virtual std::vector<TextPair> examples(Split) const = 0;
  // Classification: texts and classes in the order of the file, and the pattern with a mask.
  virtual std::vector<LabelledText> labelled(Split) const { return {}; }
  virtual Cloze cloze() const { return {}; }
  // A text as models read it that write the class's name: T5's form without the task's name, which a prompt stands for.
  // (Raffel et al. 2020, appendix D; Lester et al. 2021)
  virtual std::string question(const std::string& sentence) const { return "sentence: " + sentence; }
  // What stands in front of every input for a model of this kind: words that it knows from its pre-training.
  virtual std::string instruction(const ModelConfig&) const { return ""; }
  // Longer inputs are cut at their end; 0: at what the model has positions for.
  virtual int64_t max_input_tokens() const { return 0; }
  // The different inputs of a split, in the order of their first occurrence.
  virtual std::vector<EvaluationItem> items(Split) const = 0;
  // How long outputs may be, and how they are made unless options say otherwise.
  virtual GenerationOptions generation() const = 0;
  // An output as the metric wants it (one line, without the blank in front).
  virtual std::string cleaned(const std::string& output) const;
};

// Choosing a class: labels and labelled texts say all of it.
class ClassificationTask : public Task {
 public:
  std::string metric() const override { return "accuracy"; }
  std::vector<TextPair> examples(Split) const final;
  std::vector<EvaluationItem> items(Split) const final;
  GenerationOptions generation() const override { return {.max_new_tokens = 4}; }
};

std::vector<std::string> task_names();
// data: the directory of the task's files; empty: the data set that ships with the program, if one does.
std::unique_ptr<Task> make_task(const std::string& name, const std::string& data);

// Decoders: tokens of input and target and the end token, labels on target and end token only. Sequence-to-sequence
// models: input and target apart, each with the tokens that stand around a text. An input of more than `longest` tokens
// (0: any) is cut at its end; the tokens around it stay.
Sequence to_sequence(const TextPair&, const Tokenizer&, const ModelConfig&, int64_t index, int64_t longest = 0);
std::vector<int32_t> to_prompt(const std::string& input, const Tokenizer&, const ModelConfig&, int64_t longest = 0);
// What the tokenizer puts around a text that the model reads; a decoder goes on behind it, so nothing ends its text.
Framing input_framing(const Tokenizer&, const ModelConfig&);

// The file, or where it does not exist and path.xz does, that.
std::string plain_or_packed(const std::string& path);

// `count` of the examples, in random order from the seed; all of them, in the order of the file, for 0.
template <class Example>
std::vector<Example> sample(std::vector<Example> examples, int64_t count, uint64_t seed) {
  if (count == 0) return examples;
  check_input(count > 0 && count <= int64_t(examples.size()), "--limit ", count, ": there are ", examples.size(),
              " examples");
  std::vector<Example> chosen;
  for (const int32_t n : shuffled(int64_t(examples.size()), seed, -1)) {
    if (int64_t(chosen.size()) == count) break;
    chosen.push_back(std::move(examples[size_t(n)]));
  }
  return chosen;
}

}  // namespace cambium
