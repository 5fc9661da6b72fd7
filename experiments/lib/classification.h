// Classification with any model: which objective, how rows become examples, and the answers.
#pragma once

#include <functional>
#include <span>

#include "experiments/lib/evaluation.h"
#include "tuning/classification.h"

namespace cambium {

// How a model tells the class. text: it writes the class's name (the given labels of text pairs are the objective; the
// answer is the name whose first token is most probable, or where several begin alike the most probable whole). words:
// label words compete at a position. head: a classification head. automatic: encoders head, others text.
enum class Decision : uint8_t { automatic, text, words, head };
Decision decision_named(const std::string&);

// Examples of a classification task with their objective. `seed` is of a new head. Inputs are cut to what the model's
// positions leave: `taken` says how many are the tuner's, and is asked when the model has its head; none: 0. Answers
// that are numbers are for encoders with a head here (one output); other models write them as texts.
class ClassificationSetup {
 public:
  ClassificationSetup(Session&, const Task&, Decision, uint64_t seed, const std::function<int64_t()>& taken = {});

  std::shared_ptr<const Objective> objective() const { return objective_; }
  // For training.
  std::vector<Sequence> examples(Split, int64_t limit, uint64_t seed) const;
  // For choosing: what the model reads; the only label is the class.
  Sequence choice(const LabelledRow&, int64_t index) const;
  // The chosen class of each row, which `batch` has the inputs of.
  std::vector<int> choose(Hooks&, const Batch& batch, std::span<const LabelledRow> rows) const;
  // The number that a head of one output gives each row.
  std::vector<double> numbers(Hooks&, const Batch& batch) const;
  // How many inputs were cut so far, because they were longer than the model's positions.
  int64_t cut() const { return cut_; }

 private:
  FittedInput input(const DataRow&) const;
  void set_head(uint64_t seed);
  void set_words();
  std::vector<std::vector<int32_t>> answer_tokens(const DataRow&) const;
  std::vector<int> most_probable(Pass&, const Batch&, std::span<const LabelledRow>) const;

  Session& session_;
  const Task& task_;
  Decision decision_;
  std::shared_ptr<const Objective> objective_;
  std::shared_ptr<const Classification> chooser_;  // none where whole answers are compared
  std::shared_ptr<const RegressionHead> number_;
  std::optional<int32_t> mask_;
  int64_t longest_;
  mutable int64_t cut_ = 0;
};

// Chooses a class (or gives a number) for each row of the split; outputs and references are the classes' names, the
// scores those of all of the task's metrics. Demonstrations need a model that writes the class's name (Decision::text).
EvaluationResult evaluate_classes(Session&, Hooks&, const Task&, Decision, Split, int64_t limit, int64_t batch_size,
                                  const Demonstrations& = {});

}  // namespace cambium
