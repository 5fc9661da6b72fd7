#include "experiments/lib/classification.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "core/progress.h"
#include "experiments/lib/taken_positions.h"
#include "experiments/lib/token_facts.h"

namespace cambium {
namespace {

// The token of a label word, as the task writes it.
int32_t word_token(const Tokenizer& tokenizer, const Task& task, const TaskLabel& label) {
  check_input(!label.word.empty(), "the task ", task.name(), " has no word for the class ", label.name);
  if (!task.record().words_bare) return label_token(tokenizer, label.word, true);
  const std::vector<int32_t> ids = tokenizer.encode(label.word, false);
  check_input(!ids.empty() && (task.record().words_first || ids.size() == 1), "the label word \"", label.word,
              "\" has ", ids.size(), " tokens; a mask stands for one");
  return ids.front();
}

bool differ(std::vector<int32_t> tokens) {
  return std::set<int32_t>(tokens.begin(), tokens.end()).size() == tokens.size();
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
  check_input(task.is_classification() || task.is_number(), "the task ", task.name(), " has no classes");
  const ModelConfig& config = session.model->config();
  if (decision_ == Decision::automatic) decision_ = config.is_encoder() ? Decision::head : Decision::text;
  check_input(decision_ != Decision::text || !config.is_encoder(),
              "--decision text: an encoder writes nothing; there are words and head");
  check_input(task.is_classification() || decision_ == Decision::head, "the task ", task.name(),
              " asks for a number: an encoder tells it by a head, other models write it");
  if (decision_ == Decision::head) set_head(seed);
  else set_words();
  longest_ = 512;
  if (config.max_positions) longest_ = std::max<int64_t>(8, config.max_positions - (taken ? taken() : 0));
}

void ClassificationSetup::set_head(uint64_t seed) {
  check_input(!task_.record().encoder.empty(), "the task ", task_.name(), " has no text for an encoder");
  if (task_.is_number()) {
    objective_ = number_ = std::make_shared<RegressionHead>(*session_.model, seed);
    return;
  }
  objective_ = chooser_ = std::make_shared<ClassificationHead>(*session_.model, int64_t(task_.labels().size()), seed);
}

void ClassificationSetup::set_words() {
  const Tokenizer& tokenizer = session_.require_tokenizer();
  const bool encoder = session_.model->config().is_encoder();
  std::vector<int32_t> words;
  if (encoder) {
    check_input(!task_.record().cloze.empty(), "the task ", task_.name(), " has no pattern with a mask");
    mask_ = mask_token(tokenizer);
    check_input(mask_.has_value(), "label words: this model's tokenizer has no mask token to put the words at");
    for (const TaskLabel& label : task_.record().labels) words.push_back(word_token(tokenizer, task_, label));
  } else {
    task_.text_of(form_of(session_.model->config()));
    for (const std::string& label : task_.labels()) words.push_back(label_token(tokenizer, label, false));
  }
  // Answers that begin alike, or differ from row to row, can only be compared as wholes.
  const bool whole = decision_ == Decision::text && (!task_.record().candidates.empty() || !differ(words));
  if (!whole) chooser_ = std::make_shared<LabelWords>(std::move(words), mask_, *session_.model);
  if (decision_ == Decision::text) objective_ = std::make_shared<GivenLabels>();
  else objective_ = chooser_;
}

std::vector<std::vector<int32_t>> ClassificationSetup::answer_tokens(const DataRow& row) const {
  std::vector<std::vector<int32_t>> all;
  for (const std::string& answer : task_.answers(row))
    all.push_back(session_.require_tokenizer().encode(" " + answer, false));
  return all;
}

FittedInput ClassificationSetup::input(const DataRow& row) const {
  const Tokenizer& tokenizer = session_.require_tokenizer();
  const ModelConfig& config = session_.model->config();
  int64_t longest = longest_;
  std::vector<Template> texts;
  std::string instruction;
  if (config.is_encoder()) {
    texts = decision_ == Decision::head ? task_.record().encoder : task_.record().cloze;
  } else {
    texts = {task_.text_of(form_of(config))};
    instruction = task_.instruction(config);
    if (decision_ == Decision::text && config.max_positions && !config.is_seq2seq()) {
      size_t answer = 0;  // a decoder needs places for the answer and the token that ends it
      for (const auto& tokens : answer_tokens(row)) answer = std::max(answer, tokens.size() + 1);
      longest = std::max<int64_t>(8, longest - int64_t(answer));
    }
  }
  FittedInput in = fitted(texts, row, instruction, tokenizer, config, longest, mask_);
  cut_ += in.cut;
  return in;
}

Sequence ClassificationSetup::choice(const LabelledRow& item, int64_t index) const {
  FittedInput in = input(item.row);
  Sequence s;
  s.ids = std::move(in.ids), s.types = std::move(in.types), s.index = index;
  s.labels = {number_ ? RegressionHead::label_of(item.number) : item.label};
  return s;
}

std::vector<Sequence> ClassificationSetup::examples(Split split, int64_t limit, uint64_t seed) const {
  std::vector<Sequence> all;
  for (const LabelledRow& item : sample(task_.labelled(split), limit, seed)) {
    const int64_t index = int64_t(all.size());
    if (decision_ == Decision::text)
      all.push_back(with_target(input(item.row).ids, " " + task_.answers(item.row)[size_t(item.label)],
                                session_.require_tokenizer(), session_.model->config(), index));
    else all.push_back(choice(item, index));
  }
  return all;
}

std::vector<int> ClassificationSetup::choose(Hooks& hooks, const Batch& batch,
                                             std::span<const LabelledRow> rows) const {
  Pass pass(hooks);
  if (!chooser_) return most_probable(pass, batch, rows);
  chooser_->check(*session_.model, batch);
  const Tensor scores = chooser_->scores(*session_.model, pass, batch);
  std::vector<int> chosen;
  for (size_t s = 0; s < batch.size(); ++s) {
    const float* row = scores.data<float>() + int64_t(s) * scores.cols();
    chosen.push_back(int(std::max_element(row, row + scores.cols()) - row));
  }
  return chosen;
}

// The answer whose tokens, with the one that ends it, are most probable behind the input. (Brown et al. 2020, 2.4)
std::vector<int> ClassificationSetup::most_probable(Pass& pass, const Batch& batch,
                                                    std::span<const LabelledRow> rows) const {
  std::vector<int> chosen;
  for (size_t s = 0; s < batch.size(); ++s) {
    Batch wholes;
    for (const std::string& answer : task_.answers(rows[s].row))
      wholes.push_back(with_target(batch[s].ids, " " + answer, session_.require_tokenizer(), session_.model->config(),
                                   batch[s].index));
    session_.model->check(wholes);
    const std::vector<double> losses = session_.model->sequence_losses(pass, wholes);
    chosen.push_back(int(std::min_element(losses.begin(), losses.end()) - losses.begin()));
  }
  return chosen;
}

std::vector<double> ClassificationSetup::numbers(Hooks& hooks, const Batch& batch) const {
  Pass pass(hooks);
  number_->check(*session_.model, batch);
  return number_->predictions(*session_.model, pass, batch);
}

EvaluationResult evaluate_classes(Session& session, Hooks& hooks, const Task& task, Decision decision, Split split,
                                  int64_t limit, int64_t batch_size, const Demonstrations& demonstrations) {
  check_input(limit >= 0, "--limit ", limit, " is negative");
  check_input(batch_size >= 1, "--batch-size ", batch_size, " must be at least 1");
  const ModelConfig& config = session.model->config();
  if (decision == Decision::automatic && config.is_encoder() && !session.model->classifier && !task.is_number())
    decision = Decision::words;
  check_input((decision != Decision::head && !task.is_number()) || session.model->classifier,
              "this model has no classification head; train one",
              task.is_number() ? "" : ", or choose --decision words");
  const bool writes = decision == Decision::text || (decision == Decision::automatic && !config.is_encoder());
  check_input(!demonstrations.count || writes, "demonstrations are for models that write the class's name: this one (",
              config.family, ") chooses it by a head or a mask");
  const ClassificationSetup setup(session, task, decision, 0, [&] { return taken_positions(hooks, config); });
  DemonstratedPrompts shown(demonstrations, task, session.require_tokenizer(), config, 1);
  std::vector<LabelledRow> items = task.labelled(split);
  if (limit && limit < int64_t(items.size())) items.resize(size_t(limit));

  EvaluationResult result;
  std::vector<int> chosen;
  std::vector<double> numbers;
  Progress progress("classifying", int64_t(items.size()));
  const auto start = std::chrono::steady_clock::now();
  for (size_t begin = 0; begin < items.size(); begin += size_t(batch_size)) {
    const size_t end = std::min(items.size(), begin + size_t(batch_size));
    Batch batch;
    for (size_t i = begin; i < end; ++i) {
      batch.push_back(setup.choice(items[i], int64_t(i)));
      if (demonstrations.count)
        batch.back().ids = shown.prompt(task.instruction(config) + task.text_of(form_of(config)).fill(items[i].row));
    }
    const std::span<const LabelledRow> rows(items.data() + begin, end - begin);
    if (task.is_number())
      for (const double value : setup.numbers(hooks, batch)) numbers.push_back(value);
    else
      for (const int c : setup.choose(hooks, batch, rows)) chosen.push_back(c);
    progress.update(int64_t(end));
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (size_t i = 0; i < items.size(); ++i) {
    const std::vector<std::string> answers = task.answers(items[i].row);
    result.inputs.push_back(task.shown(items[i].row));
    result.references.push_back({task.is_number() ? text(items[i].number) : answers[size_t(items[i].label)]});
    result.outputs.push_back(task.is_number() ? text(numbers[i]) : answers[size_t(chosen[i])]);
  }
  result.scores = task.is_number() ? scores_of_texts(task, result.references, result.outputs)
                                   : scores_of_classes(task, items, chosen);
  result.fewest_demonstrations = shown.fewest();
  shown.say_cut(int64_t(items.size()));
  if (setup.cut())
    Progress::say(text("note: ", setup.cut(), " inputs were longer than the model's positions and were cut"));
  return result;
}

}  // namespace cambium
