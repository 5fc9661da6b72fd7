// The E2E NLG challenge: restaurant descriptions from meaning representations. (Novikova, Dusek & Rieser 2017)
#pragma once

#include "experiments/lib/tasks/task.h"

namespace cambium {

// "name[Blue Spice], area[city centre]" -> "name : Blue Spice | area : city centre ||"; the target follows after a
// blank. Li & Liang's prefix-tuning code writes the same with other names of slots ("Type", "family friendly"), and has
// the beginning-of-text token between both.
std::string linearised(const std::string& meaning);

class E2eTask : public Task {
 public:
  // data: a directory with trainset.csv, devset.csv and testset_w_refs.csv, or these compressed by xz.
  explicit E2eTask(const std::string& data);

  std::string name() const override { return "e2e"; }
  std::string metric() const override { return "e2e"; }
  std::string words() const override { return "Describe the restaurant in one sentence:"; }
  std::vector<TextPair> examples(Split) const override;
  std::vector<EvaluationItem> items(Split) const override;
  GenerationOptions generation() const override { return {.max_new_tokens = 80}; }

 private:
  std::string file(Split) const;
  std::string data_;
};

}  // namespace cambium
