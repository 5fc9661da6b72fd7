// Summaries: of dialogues (SAMSum) and of papers' abstracts (SciTLDR).
#pragma once

#include "experiments/lib/tasks/task.h"

namespace cambium {

class SummaryTask : public Task {
 public:
  std::string metric() const override { return "rouge"; }
  std::string words() const override { return "Summarize the text in one sentence:"; }
  std::vector<TextPair> examples(Split) const override;
  std::vector<EvaluationItem> items(Split) const override;
  int64_t max_input_tokens() const override { return 512; }
  GenerationOptions generation() const override { return {.max_new_tokens = 64}; }

 protected:
  // A text with its summaries, in the order of the file.
  struct Document {
    std::string text;
    std::vector<std::string> summaries;
  };
  virtual std::vector<Document> documents(Split) const = 0;
};

// SAMSum: messenger dialogues. (Gliwa et al. 2019)
// data: a directory with train, val (or validation or dev) and test as .jsonl (a line a dialogue) or .json (a list), with fields dialogue and
// summary (or context and response). It does not ship with the program: its licence forbids changed copies.
class SamsumTask : public SummaryTask {
 public:
  explicit SamsumTask(const std::string& data);
  std::string name() const override { return "samsum"; }

 protected:
  std::vector<Document> documents(Split) const override;

 private:
  std::string data_;
};

// SciTLDR: one sentence about a paper from its abstract, several references in dev and test. (Cachola et al. 2020)
// data: a directory with train.jsonl, dev.jsonl and test.jsonl, or these compressed by xz.
class SciTldrTask : public SummaryTask {
 public:
  explicit SciTldrTask(const std::string& data);
  std::string name() const override { return "scitldr"; }

 protected:
  std::vector<Document> documents(Split) const override;

 private:
  std::string data_;
};

}  // namespace cambium
