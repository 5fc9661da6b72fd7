// Made-up classification tasks, for smoke tests: lists of words, some of which tell the class. No data are needed, and
// their scores mean nothing.
#pragma once

#include "experiments/lib/tasks/task.h"

namespace cambium {

struct SyntheticKind;

class SyntheticTask : public ClassificationTask {
 public:
  // synthetic (negative or positive), synthetic_size (small or large), synthetic_heat (cold or hot). `data` must be
  // empty. InputError for another name.
  SyntheticTask(const std::string& name, const std::string& data);

  std::string name() const override;
  std::string words() const override;
  std::vector<std::string> labels() const override;
  std::vector<LabelledText> labelled(Split) const override;
  Cloze cloze() const override;

 private:
  const SyntheticKind& kind_;
};

}  // namespace cambium
