// Summaries: of dialogues (SAMSum), of news (XSum) and of papers' abstracts (SciTLDR).
#pragma once

#include "experiments/lib/tasks/task.h"

namespace cambium {

class SummaryTask : public Task {
 public:
  std::string metric() const override { return "rouge"; }
  std::string words() const override { return "Summarize the text in one sentence:"; }
  // T5's words for it; BART is trained and asked without any, as Lewis et al. and Li & Liang do it.
  std::string instruction(const ModelConfig& c) const override { return c.family == "bart" ? "" : "summarize: "; }
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

// A directory with train, val (or validation or dev) and test as .jsonl (a line a text) or .json (a list), or these
// compressed by xz. They do not ship with the program.
class SummaryFilesTask : public SummaryTask {
 public:
  using Fields = std::vector<const char*>;  // names of a field, one of which an object has
  SummaryFilesTask(std::string name, Fields text, Fields summary, const std::string& data);
  std::string name() const override { return name_; }

 protected:
  std::vector<Document> documents(Split) const override;

 private:
  std::string name_, data_;
  Fields text_, summary_;
};

// SAMSum: messenger dialogues, with fields dialogue and summary (or context and response). (Gliwa et al. 2019)
class SamsumTask : public SummaryFilesTask {
 public:
  explicit SamsumTask(const std::string& data)
      : SummaryFilesTask("samsum", {"dialogue", "context"}, {"summary", "response"}, data) {}
};

// XSum: one sentence about a news text, with fields document and summary. (Narayan, Cohen & Lapata 2018)
class XsumTask : public SummaryFilesTask {
 public:
  explicit XsumTask(const std::string& data) : SummaryFilesTask("xsum", {"document"}, {"summary"}, data) {}
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
