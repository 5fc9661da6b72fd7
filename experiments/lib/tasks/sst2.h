// SST-2: whether a sentence about a film is positive. (Socher et al. 2013; Wang et al. 2019)
#pragma once

#include "experiments/lib/tasks/task.h"

namespace cambium {

class Sst2Task : public ClassificationTask {
 public:
  // data: a directory with train.tsv, dev.tsv and test-labeled.tsv (columns sentence and label), or these compressed by
  // xz.
  explicit Sst2Task(const std::string& data);

  std::string name() const override { return "sst2"; }
  std::string words() const override { return "Is the film review positive or negative?"; }
  std::vector<std::string> labels() const override { return {"negative", "positive"}; }
  std::vector<LabelledText> labelled(Split) const override;
  Cloze cloze() const override { return {"It was", ".", {"terrible", "great"}}; }

 private:
  std::string data_;
};

}  // namespace cambium
