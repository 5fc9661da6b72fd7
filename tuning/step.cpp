#include "tuning/step.h"

#include "autograd/ops/rows.h"

namespace cambium {

std::vector<Model::Loss> losses_of(Model& model, Pass& pass, std::span<const StepPart> parts) {
  Batch inputs;
  std::vector<TokenPlace> tokens;
  std::vector<int64_t> end;  // of each part's tokens
  for (const StepPart& part : parts) {
    const Objective::Question asked = part.objective->question(model, part.batch);
    for (const TokenPlace& place : asked.tokens)
      tokens.push_back({place.sequence + int32_t(inputs.size()), place.token});
    inputs.insert(inputs.end(), asked.inputs.begin(), asked.inputs.end());
    end.push_back(int64_t(tokens.size()));
  }
  const Var rows = model.hidden(pass, inputs, std::move(tokens));
  std::vector<Model::Loss> losses;
  int64_t begin = 0;
  for (size_t i = 0; i < parts.size(); begin = end[i], ++i) {
    const Var own = parts.size() == 1 ? rows : apply(Slice{begin, end[i]}, rows);
    losses.push_back(parts[i].objective->answer(model, pass, parts[i].batch, own, parts[i].config));
  }
  return losses;
}

void run_backward(Tape& tape, std::span<const Model::Loss> losses) {
  std::vector<Var> roots;
  for (const Model::Loss& loss : losses)
    if (loss.scored > 0) roots.push_back(loss.sum);
  if (roots.empty()) return;
  const Tensor& first = roots.front().value;
  tape.backward(roots, Tensor::of(std::vector<double>{1}).to(first.dtype()).to(first.device()));
}

}  // namespace cambium
