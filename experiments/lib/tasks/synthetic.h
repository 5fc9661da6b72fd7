// A made-up classification task, for smoke tests: lists of words, some of which tell the class. No data are needed, and
// its scores mean nothing.
#pragma once

#include "experiments/lib/tasks/task.h"

namespace cambium {

class SyntheticTask : public ClassificationTask {
 public:
  explicit SyntheticTask(const std::string& data);  // must be empty

  std::string name() const override { return "synthetic"; }
  std::string words() const override { return "Is the list of words negative or positive?"; }
  std::vector<std::string> labels() const override { return {"negative", "positive"}; }
  std::vector<LabelledText> labelled(Split) const override;
  Cloze cloze() const override { return {"It was", ".", {"bad", "good"}}; }
};

}  // namespace cambium
