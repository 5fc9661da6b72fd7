// Classification with any model: which objective, how texts become examples, and the answers.
#pragma once

#include <functional>

#include "experiments/lib/evaluation.h"
#include "tuning/classification.h"

namespace cambium {

// How a model tells the class. text: it writes the class's name (the given labels of text pairs are the objective; the
// answer is the name whose first token is most probable). words: label words compete at a position. head: a
// classification head. automatic: encoders head, others text.
enum class Decision : uint8_t { automatic, text, words, head };
Decision decision_named(const std::string&);

// Examples of a classification task with their objective. `seed` is of a new head. Inputs are cut to what the model's
// positions leave: `taken` says how many are the tuner's, and is asked when the model has its head; none: 0.
class ClassificationSetup {
 public:
  ClassificationSetup(Session&, const Task&, Decision, uint64_t seed, const std::function<int64_t()>& taken = {});

  // The objective that examples are trained with, and the one that chooses (the same, but for `text`).
  std::shared_ptr<const Objective> objective() const { return objective_; }
  const Classification& chooser() const { return *chooser_; }
  // For training.
  std::vector<Sequence> examples(Split, int64_t limit, uint64_t seed) const;
  // For choosing: the only label is the class.
  Sequence choice(const LabelledText&, int64_t index) const;
  // How many inputs were cut so far, because they were longer than the model's positions.
  int64_t cut() const { return cut_; }

 private:
  std::vector<int32_t> input(const std::string& text) const;
  void set_words();

  Session& session_;
  const Task& task_;
  Decision decision_;
  std::shared_ptr<const Objective> objective_;
  std::shared_ptr<const Classification> chooser_;
  int64_t longest_;
  mutable int64_t cut_ = 0;
};

// Chooses a class for each text of the split; outputs and references are the classes' names, the score is the task's
// metric. Demonstrations need a model that writes the class's name (Decision::text).
EvaluationResult evaluate_classes(Session&, Hooks&, const Task&, Decision, Split, int64_t limit, int64_t batch_size,
                                  const Demonstrations& = {});

}  // namespace cambium
