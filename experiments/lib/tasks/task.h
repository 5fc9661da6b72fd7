// Tasks: data in their official files, how an example becomes text, and what scores the outputs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "experiments/lib/tasks/record.h"
#include "experiments/lib/tasks/rows.h"
#include "models/layout.h"
#include "models/tokenizers/tokenizer.h"
#include "tuning/denoising.h"
#include "tuning/examples.h"

namespace cambium {

// What the model reads and what it should write.
struct TextPair {
  std::string input, target;
};

// One input of an evaluation with all its references.
struct EvaluationItem {
  std::string input;
  std::vector<std::string> references;
};

// A row with the number of its class (-1 where the task has a number instead), or that number.
struct LabelledRow {
  DataRow row;
  int label = 0;
  double number = 0;
};

// Models that write read a text of their kind.
enum class TextForm : uint8_t { decoder, seq2seq };
TextForm form_of(const ModelConfig&);

// A record with the folder of its files.
class Task {
 public:
  // data: the folder; empty: what ships with the program. Throws InputError where there is none.
  Task(TaskRecord, const std::string& data);

  const TaskRecord& record() const { return record_; }
  const std::string& name() const { return record_.name; }
  const std::string& metric() const { return record_.metrics.front(); }  // for metrics::score
  const std::vector<std::string>& metrics() const { return record_.metrics; }
  // A text that suits the task, for prompts and prefixes that start from real words.
  const std::string& words() const { return record_.words; }
  // The classes' names; empty where answers are texts or numbers.
  std::vector<std::string> labels() const;
  bool is_classification() const { return record_.is_classification(); }
  bool is_number() const { return record_.number.has_value(); }
  int64_t max_input_tokens() const { return record_.max_input_tokens; }
  const GenerationOptions& generation() const { return record_.generation; }

  // All examples as text, in the order of the file; a target begins with a blank. One for each target of a row.
  std::vector<TextPair> examples(Split, TextForm = TextForm::decoder) const;
  // The different inputs of a split, in the order of their first occurrence.
  std::vector<EvaluationItem> items(Split, TextForm = TextForm::decoder) const;
  // Classes and numbers: rows in the order of the file. InputError for a label that the record does not have and for
  // rows whose texts are empty.
  std::vector<LabelledRow> labelled(Split) const;

  // What a model that writes reads of a row.
  const Template& text_of(TextForm) const;
  // A row's texts for a reader of results: what an encoder sees of it, else what a model that writes sees.
  std::string shown(const DataRow&) const;
  // The answers of a row: the classes' names, or the row's own candidates.
  std::vector<std::string> answers(const DataRow&) const;
  // What stands in front of every input for a model of this kind: words that it knows from its pre-training.
  std::string instruction(const ModelConfig&) const;
  // An output as the metric wants it (one line, without the blank in front).
  std::string cleaned(const std::string& output) const;

 private:
  std::vector<std::string> targets(const DataRow&) const;

  TaskRecord record_;
  std::string data_;
};

// The built-in tasks by name, sorted; their records are JSON files that ship with the program.
std::vector<std::string> task_names();
TaskRecord built_in_record(const std::string& name);
// A built-in task, or a path that ends in .json: a record of the user's own, whose files are in `data` or else beside
// it. data: the directory of the task's files; empty: the data set that ships with the program, if one does.
std::unique_ptr<Task> make_task(const std::string& name, const std::string& data);

// A tokenised prompt with the target behind it, as to_sequence makes it.
Sequence with_target(std::vector<int32_t> prompt, const std::string& target, const Tokenizer&, const ModelConfig&,
                     int64_t index);
// Decoders: tokens of input and target and the end token, labels on target and end token only. Sequence-to-sequence
// models: input and target apart, each with the tokens that stand around a text. An input of more than `longest` tokens
// (0: any) is cut at its end; the tokens around it stay.
Sequence to_sequence(const TextPair&, const Tokenizer&, const ModelConfig&, int64_t index, int64_t longest = 0);
std::vector<int32_t> to_prompt(const std::string& input, const Tokenizer&, const ModelConfig&, int64_t longest = 0);
// What the tokenizer puts around a text that the model reads; a decoder goes on behind it, so nothing ends its text.
Framing input_framing(const Tokenizer&, const ModelConfig&);

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
