#include "experiments/lib/task_data.h"

#include <algorithm>

#include "core/json.h"
#include "core/progress.h"
#include "experiments/lib/metrics/e2e.h"
#include "models/decoding.h"

namespace cambium {
namespace {

void require_text_task(const Session& session, const Task& task, Decision decision) {
  check_input(decision == Decision::automatic || (task.is_number() && decision == Decision::text),
              "--decision: the task ", task.name(), " has no classes");
  check_input(!session.model->config().is_encoder(), "the task ", task.name(), " wants texts, and an encoder (",
              session.model->config().family, ") writes none; take a decoder or a sequence-to-sequence model");
}

std::vector<Sequence> sequences_of(const std::vector<TextPair>& pairs, const Session& session, const Task& task) {
  std::vector<Sequence> all;
  const ModelConfig& config = session.model->config();
  for (const TextPair& pair : pairs)
    all.push_back(to_sequence({task.instruction(config) + pair.input, pair.target}, session.require_tokenizer(), config,
                              int64_t(all.size()), task.max_input_tokens()));
  return all;
}

// An encoder gives a number by a head; other models write it, as they write texts.
bool chooses(const Session& session, const Task& task) {
  return task.is_classification() || (task.is_number() && session.model->config().is_encoder());
}

int64_t at_most(int64_t wanted, size_t there) { return std::min(wanted, int64_t(there)); }

}  // namespace

TrainData train_data_of(Session& session, const Task& task, const DataSelection& selection) {
  TrainData data;
  if (chooses(session, task)) {
    const ClassificationSetup setup(session, task, selection.decision, selection.seed, selection.taken);
    data.examples = setup.examples(Split::train, selection.limit, selection.seed);
    if (selection.dev)
      data.dev = setup.examples(Split::dev, at_most(selection.dev, task.labelled(Split::dev).size()), 0);
    data.objective = setup.objective();
    if (setup.cut())
      Progress::say(text("note: ", setup.cut(), " inputs were longer than the model's positions and were cut"));
    return data;
  }
  require_text_task(session, task, selection.decision);
  const TextForm form = form_of(session.model->config());
  data.examples =
      sequences_of(sample(task.examples(Split::train, form), selection.limit, selection.seed), session, task);
  if (!selection.dev) return data;
  std::vector<TextPair> dev = task.examples(Split::dev, form);
  const int64_t count = at_most(selection.dev, dev.size());
  data.dev = sequences_of(sample(std::move(dev), count, 0), session, task);
  return data;
}

void check_evaluation(Session& session, const Hooks& hooks, const Task& task, Decision decision, Split split,
                      int64_t limit, const GenerationOptions& generation) {
  for (const std::string& metric : task.metrics())
    if (metric == "e2e") metrics::check_meteor_data();
  if (chooses(session, task)) {
    task.labelled(split);
    return;
  }
  require_text_task(session, task, decision);
  const std::vector<EvaluationItem> items = task.items(split, form_of(session.model->config()));
  const int64_t count = limit ? at_most(limit, items.size()) : int64_t(items.size());
  for (int64_t i = 0; i < count; ++i)
    reading(text("input ", i + 1, " of the task"), [&] {
      const std::string& input = items[size_t(i)].input;
      check_input_length(
          *session.model, hooks,
          to_prompt(input, session.require_tokenizer(), session.model->config(), task.max_input_tokens()), 0,
          generation);
    });
}

EvaluationResult evaluate_task(Session& session, Hooks& hooks, const Task& task, Decision decision, Split split,
                               int64_t limit, const GenerationOptions& generation,
                               const Demonstrations& demonstrations) {
  if (chooses(session, task))
    return evaluate_classes(session, hooks, task, decision, split, limit, generation.batch_size, demonstrations);
  require_text_task(session, task, decision);
  return evaluate(session, hooks, task, split, limit, generation, demonstrations);
}

}  // namespace cambium
