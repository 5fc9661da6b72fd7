#include "experiments/lib/demonstrations.h"

#include <algorithm>

#include "core/progress.h"

namespace cambium {
namespace {

void append(std::vector<int32_t>& ids, const std::vector<int32_t>& more) {
  ids.insert(ids.end(), more.begin(), more.end());
}

}  // namespace

std::vector<int32_t> line_ends(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    const std::string words = tokenizer.decode(std::span(&id, 1), true);
    if (!words.empty() && words.find_first_not_of('\n') == words.npos) ids.push_back(id);
  }
  return ids;
}

DemonstratedPrompts::DemonstratedPrompts(const Demonstrations& wanted, const Task& task, const Tokenizer& tokenizer,
                                         const ModelConfig& config, int64_t new_tokens)
    : task_(task), tokenizer_(tokenizer), config_(config), framing_(input_framing(tokenizer, config)),
      longest_(config.max_positions), fewest_(wanted.count) {
  if (longest_ && !config.is_seq2seq()) longest_ = std::max<int64_t>(1, longest_ - new_tokens);
  if (!wanted.count) return;
  for (const TextPair& pair : sample(task.examples(Split::train, form_of(config)), wanted.count, wanted.seed)) {
    std::vector<int32_t>& ids = shown_.emplace_back(input_tokens(task.instruction(config) + pair.input));
    append(ids, tokenizer.encode(pair.target + "\n", false));
  }
}

// As in a prompt without demonstrations (to_prompt): what stands around it counts towards what the task wants.
std::vector<int32_t> DemonstratedPrompts::input_tokens(const std::string& input) const {
  std::vector<int32_t> ids = tokenizer_.encode(input, false);
  const int64_t room = task_.max_input_tokens() - int64_t(framing_.before.size() + framing_.after.size());
  if (task_.max_input_tokens()) ids.resize(std::min(ids.size(), size_t(std::max<int64_t>(0, room))));
  return ids;
}

std::vector<int32_t> DemonstratedPrompts::prompt(const std::string& input) {
  if (shown_.empty()) return to_prompt(input, tokenizer_, config_, task_.max_input_tokens());
  const std::vector<int32_t> own = input_tokens(input);
  const size_t around = framing_.before.size() + framing_.after.size();
  size_t total = own.size() + around, fit = 0;
  for (; fit < shown_.size(); ++fit) {
    if (longest_ && total + shown_[fit].size() > size_t(longest_)) break;
    total += shown_[fit].size();
  }
  cut_ += fit < shown_.size();
  fewest_ = std::min(fewest_, int64_t(fit));
  std::vector<int32_t> ids;
  for (size_t i = 0; i < fit; ++i) append(ids, shown_[i]);
  append(ids, own);
  return framing_.around(ids);
}

void DemonstratedPrompts::say_cut(int64_t prompts) const {
  if (!cut_) return;
  Progress::say(text("note: ", cut_, " of ", prompts, " inputs have fewer than ", shown_.size(),
                     " demonstrations, at least ", fewest_, ": the model has ", config_.max_positions, " positions"));
}

}  // namespace cambium
