#include "experiments/lib/tasks/task.h"

#include <algorithm>

#include "core/error.h"
#include "core/files.h"
#include "experiments/lib/tasks/e2e.h"
#include "experiments/lib/tasks/sst2.h"
#include "experiments/lib/tasks/summaries.h"
#include "experiments/lib/tasks/synthetic.h"
#include "experiments/lib/token_facts.h"

namespace cambium {

Split split_named(const std::string& name) {
  if (name == "train") return Split::train;
  if (name == "dev") return Split::dev;
  if (name == "test") return Split::test;
  throw InputError(text("--split ", name, ": there are train, dev and test"));
}

std::string Task::cleaned(const std::string& output) const {
  std::string line = output.substr(0, output.find('\n'));
  const size_t begin = line.find_first_not_of(" \t\r"), end = line.find_last_not_of(" \t\r");
  return begin == std::string::npos ? "" : line.substr(begin, end - begin + 1);
}

std::vector<TextPair> ClassificationTask::examples(Split split) const {
  std::vector<TextPair> all;
  for (const LabelledText& t : labelled(split)) all.push_back({question(t.text), " " + labels()[size_t(t.label)]});
  return all;
}

std::vector<EvaluationItem> ClassificationTask::items(Split split) const {
  std::vector<EvaluationItem> all;
  for (const LabelledText& t : labelled(split)) all.push_back({question(t.text), {labels()[size_t(t.label)]}});
  return all;
}

std::vector<std::string> task_names() {
  return {"e2e", "samsum", "scitldr", "sst2", "synthetic", "synthetic_heat", "synthetic_size", "xsum"};
}

std::unique_ptr<Task> make_task(const std::string& name, const std::string& data) {
  if (name == "e2e") return std::make_unique<E2eTask>(data);
  if (name == "samsum") return std::make_unique<SamsumTask>(data);
  if (name == "scitldr") return std::make_unique<SciTldrTask>(data);
  if (name == "sst2") return std::make_unique<Sst2Task>(data);
  if (name == "synthetic" || name == "synthetic_heat" || name == "synthetic_size")
    return std::make_unique<SyntheticTask>(name, data);
  if (name == "xsum") return std::make_unique<XsumTask>(data);
  throw InputError(text("--task ", name, ": there are ", listed(task_names())));
}

namespace {

int32_t end_token(const ModelConfig& config) {
  for (const int32_t id : config.eos)
    if (id >= 0 && id < config.vocabulary) return id;
  throw InputError(text("this model's configuration names no end token ",
                        config.eos.empty() ? "" : text("inside its vocabulary of ", config.vocabulary, " "),
                        "(eos_token_id): outputs would never end"));
}

}  // namespace

Sequence to_sequence(const TextPair& pair, const Tokenizer& tokenizer, const ModelConfig& config, int64_t index,
                     int64_t longest) {
  Sequence s;
  s.index = index;
  const int32_t end = end_token(config);
  s.ids = to_prompt(pair.input, tokenizer, config, longest);
  if (config.is_seq2seq()) {  // a text of its own, with BART's first token as in pre-training
    const std::string target = pair.target.substr(pair.target.starts_with(' '));
    s.labels = framing_of(tokenizer).around(tokenizer.encode(target, false));
    if (s.labels.empty() || s.labels.back() != end) s.labels.push_back(end);
    return s;
  }
  std::vector<int32_t> target = tokenizer.encode(pair.target, false);
  target.push_back(end);
  s.labels.assign(s.ids.size(), kNotScored);
  s.ids.insert(s.ids.end(), target.begin(), target.end());
  s.labels.insert(s.labels.end(), target.begin(), target.end());
  return s;
}

std::vector<int32_t> to_prompt(const std::string& input, const Tokenizer& tokenizer, const ModelConfig& config,
                               int64_t longest) {
  const Framing framing = input_framing(tokenizer, config);
  std::vector<int32_t> ids = tokenizer.encode(input, false);
  const int64_t room = longest - int64_t(framing.before.size() + framing.after.size());
  if (longest > 0 && int64_t(ids.size()) > room) ids.resize(size_t(std::max<int64_t>(0, room)));
  return framing.around(ids);
}

Framing input_framing(const Tokenizer& tokenizer, const ModelConfig& config) {
  Framing framing = framing_of(tokenizer);
  if (!config.is_seq2seq() && !config.is_encoder()) framing.after.clear();
  return framing;
}

std::string plain_or_packed(const std::string& path) {
  return file_exists(path) || !file_exists(path + ".xz") ? path : path + ".xz";
}

}  // namespace cambium
