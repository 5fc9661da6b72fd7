#include "experiments/lib/evaluation.h"

#include <algorithm>
#include <chrono>

#include "core/progress.h"
#include "core/signals.h"

namespace cambium {

double EvaluationResult::score(const std::string& name) const {
  for (const auto& [key, value] : scores)
    if (key == name) return value;
  throw Error(text("there is no score ", name));
}

EvaluationResult evaluate(Session& session, Hooks& hooks, const Task& task, Split split, int64_t limit,
                          const GenerationOptions& options, const Demonstrations& demonstrations) {
  const Tokenizer& tokenizer = session.require_tokenizer();
  std::vector<EvaluationItem> items = task.items(split, form_of(session.model->config()));
  check_input(limit >= 0, "--limit ", limit, " is negative");
  if (limit && limit < int64_t(items.size())) items.resize(size_t(limit));

  EvaluationResult result;
  const ModelConfig& config = session.model->config();
  DemonstratedPrompts shown(demonstrations, task, tokenizer, config, options.max_new_tokens);
  std::vector<std::vector<int32_t>> prompts;
  for (EvaluationItem& item : items) {
    prompts.push_back(shown.prompt(task.instruction(config) + item.input));
    result.inputs.push_back(std::move(item.input));
    result.references.push_back(std::move(item.references));
  }
  shown.say_cut(int64_t(prompts.size()));
  result.fewest_demonstrations = shown.fewest();
  GenerationOptions ending = options;
  if (demonstrations.count) {
    ending.eos = options.eos.value_or(session.model->config().eos);
    for (const int32_t id : line_ends(tokenizer)) ending.eos->push_back(id);
  }
  Progress progress("decoding", int64_t(prompts.size()));
  const auto start = std::chrono::steady_clock::now();
  const auto generated = generate(*session.model, hooks, prompts, ending, {}, [&](int64_t done) {
    progress.update(done);
    if (stop_signal()) throw Stopped("stopped while decoding");
  });
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const auto& best : generated) {
    check_input(!best.empty(), "an input got no output");
    result.new_tokens += int64_t(best.front().ids.size());
    result.outputs.push_back(task.cleaned(tokenizer.decode(best.front().ids, true)));
  }
  result.scores = scores_of_texts(task, result.references, result.outputs);
  return result;
}

}  // namespace cambium
