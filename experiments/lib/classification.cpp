#include "experiments/lib/classification.h"

#include <algorithm>
#include <chrono>

#include "core/progress.h"
#include "experiments/lib/metrics/metric.h"
#include "experiments/lib/taken_positions.h"
#include "experiments/lib/token_facts.h"

namespace cambium {
namespace {

// Tokens of the longest answer that a model writes, with the one that ends it; 0 where it chooses otherwise.
int64_t answer_room(const Tokenizer& tokenizer, const Task& task, Decision decision) {
  size_t longest = 0;
  if (decision == Decision::text)
    for (const std::string& label : task.labels())
      longest = std::max(longest, tokenizer.encode(" " + label, false).size() + 1);
  return int64_t(longest);
}

}  // namespace

Decision decision_named(const std::string& name) {
  if (name.empty() || name == "auto") return Decision::automatic;
  if (name == "text") return Decision::text;
  if (name == "words") return Decision::words;
  if (name == "head") return Decision::head;
  throw InputError(text("--decision ", name, ": there are auto, text, words and head"));
}

ClassificationSetup::ClassificationSetup(Session& session, const Task& task, Decision decision, uint64_t seed,
                                         const std::function<int64_t()>& taken)
    : session_(session), task_(task), decision_(decision) {
  check_input(task.is_classification(), "the task ", task.name(), " has no classes");
  const ModelConfig& config = session.model->config();
  if (decision_ == Decision::automatic) decision_ = config.is_encoder() ? Decision::head : Decision::text;
  check_input(decision_ != Decision::text || !config.is_encoder(),
              "--decision text: an encoder writes nothing; there are words and head");
  if (decision_ == Decision::head)
    chooser_ = std::make_shared<ClassificationHead>(*session.model, int64_t(task.labels().size()), seed);
  else set_words();
  if (decision_ == Decision::text) objective_ = std::make_shared<GivenLabels>();
  else objective_ = chooser_;
  longest_ = 512;
  if (!config.max_positions) return;
  const int64_t answer = config.is_seq2seq() ? 0 : answer_room(session.require_tokenizer(), task, decision_);
  longest_ = std::max<int64_t>(8, config.max_positions - (taken ? taken() : 0) - answer);
}

void ClassificationSetup::set_words() {
  const Tokenizer& tokenizer = session_.require_tokenizer();
  const bool encoder = session_.model->config().is_encoder();
  std::vector<int32_t> words;
  for (const std::string& word : encoder ? task_.cloze().words : task_.labels())
    words.push_back(label_token(tokenizer, word, encoder));
  chooser_ =
      std::make_shared<LabelWords>(std::move(words), encoder ? mask_token(tokenizer) : std::nullopt, *session_.model);
}

std::vector<int32_t> ClassificationSetup::input(const std::string& sentence) const {
  const Tokenizer& tokenizer = session_.require_tokenizer();
  const ModelConfig& config = session_.model->config();
  const auto shortened = [&](std::vector<int32_t> ids, int64_t room) {
    cut_ += int64_t(ids.size()) > room;
    if (int64_t(ids.size()) > room) ids.resize(size_t(std::max<int64_t>(1, room)));
    return ids;
  };
  const Framing framing = input_framing(tokenizer, config);
  const int64_t around = int64_t(framing.before.size() + framing.after.size());
  if (!config.is_encoder())
    return framing.around(shortened(tokenizer.encode(task_.question(sentence), false), longest_ - around));
  if (decision_ == Decision::head)
    return framing.around(shortened(tokenizer.encode(sentence, false), longest_ - around));
  const Cloze cloze = task_.cloze();
  std::vector<int32_t> tail = tokenizer.encode(" " + cloze.before, false);
  tail.push_back(*mask_token(tokenizer));
  const std::vector<int32_t> after = tokenizer.encode(cloze.after, false);
  tail.insert(tail.end(), after.begin(), after.end());
  std::vector<int32_t> ids = shortened(tokenizer.encode(sentence, false), longest_ - around - int64_t(tail.size()));
  ids.insert(ids.end(), tail.begin(), tail.end());
  return framing.around(ids);
}

Sequence ClassificationSetup::choice(const LabelledText& item, int64_t index) const {
  Sequence s;
  s.ids = input(item.text);
  s.labels = {item.label};
  s.index = index;
  return s;
}

std::vector<Sequence> ClassificationSetup::examples(Split split, int64_t limit, uint64_t seed) const {
  const std::vector<LabelledText> items = sample(task_.labelled(split), limit, seed);
  const Tokenizer& tokenizer = session_.require_tokenizer();
  std::vector<Sequence> all;
  for (const LabelledText& item : items) {
    if (decision_ == Decision::text)
      all.push_back(to_sequence({task_.question(item.text), " " + task_.labels()[size_t(item.label)]}, tokenizer,
                                session_.model->config(), int64_t(all.size()), longest_));
    else all.push_back(choice(item, int64_t(all.size())));
  }
  return all;
}

EvaluationResult evaluate_classes(Session& session, Hooks& hooks, const Task& task, Decision decision, Split split,
                                  int64_t limit, int64_t batch_size, const Demonstrations& demonstrations) {
  check_input(limit >= 0, "--limit ", limit, " is negative");
  check_input(batch_size >= 1, "--batch-size ", batch_size, " must be at least 1");
  const ModelConfig& config = session.model->config();
  if (decision == Decision::automatic && config.is_encoder() && !session.model->classifier) decision = Decision::words;
  check_input(decision != Decision::head || session.model->classifier,
              "this model has no classification head; train one, or choose --decision words");
  const bool writes = decision == Decision::text || (decision == Decision::automatic && !config.is_encoder());
  check_input(!demonstrations.count || writes, "demonstrations are for models that write the class's name: this one (",
              config.family, ") chooses it by a head or a mask");
  const ClassificationSetup setup(session, task, decision, 0, [&] { return taken_positions(hooks, config); });
  DemonstratedPrompts shown(demonstrations, task, session.require_tokenizer(), config, 1);
  std::vector<LabelledText> items = task.labelled(split);
  if (limit && limit < int64_t(items.size())) items.resize(size_t(limit));
  check_input(!items.empty(), "the task has no inputs in this split");

  EvaluationResult result;
  Progress progress("classifying", int64_t(items.size()));
  const auto start = std::chrono::steady_clock::now();
  for (size_t begin = 0; begin < items.size(); begin += size_t(batch_size)) {
    Batch batch;
    for (size_t i = begin; i < std::min(items.size(), begin + size_t(batch_size)); ++i) {
      batch.push_back(setup.choice(items[i], int64_t(i)));
      if (demonstrations.count) batch.back().ids = shown.prompt(task.question(items[i].text));
    }
    setup.chooser().check(*session.model, batch);
    Pass pass(hooks);
    const Tensor scores = setup.chooser().scores(*session.model, pass, batch);
    for (size_t s = 0; s < batch.size(); ++s) {
      const float* row = scores.data<float>() + int64_t(s) * scores.cols();
      result.outputs.push_back(task.labels()[size_t(std::max_element(row, row + scores.cols()) - row)]);
    }
    progress.update(int64_t(result.outputs.size()));
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const LabelledText& item : items) {
    result.inputs.push_back(item.text);
    result.references.push_back({task.labels()[size_t(item.label)]});
  }
  result.scores = metrics::score(task.metric(), result.references, result.outputs);
  result.fewest_demonstrations = shown.fewest();
  shown.say_cut(int64_t(items.size()));
  if (setup.cut())
    Progress::say(text("note: ", setup.cut(), " inputs were longer than the model's positions and were cut"));
  return result;
}

}  // namespace cambium
