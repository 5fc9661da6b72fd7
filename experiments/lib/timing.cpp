#include "experiments/lib/timing.h"

#include <chrono>

#include "core/random.h"
#include "cuda/graph.h"
#include "tuning/step_log.h"
#include "tuning/trained_set.h"

namespace cambium {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

}  // namespace

std::vector<int32_t> random_tokens(int64_t count, int64_t vocabulary, uint64_t seed, int64_t index) {
  const RandomKey key = random_key(seed, "bench", uint64_t(index));
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(int32_t(uint64_t(philox(key, uint32_t(i), 0, 0, 0).word[0]) * uint64_t(vocabulary) >> 32));
  return ids;
}

std::vector<double> time_training_steps(Model& model, Tuner& tuner, const Batch& batch, const Objective& objective,
                                        int64_t warm_up, int64_t steps, uint64_t seed) {
  TrainedSet trained(model, tuner, {}, objective);
  AdamWOptimizer optimizer({}, trained.for_optimizer());
  objective.check(model, batch);
  model.check_positions(batch, tuner);
  const float scale = 1 / float(objective.scored(model, batch));
  int64_t rows = 0;
  for (const Sequence& s : batch) rows += int64_t(s.ids.size() + s.labels.size());
  gpu::StepGraphs graphs(model.device());
  StepLog log(model.device(), 1);
  std::vector<double> seconds;
  for (int64_t step = 0; step < steps + warm_up; ++step) {
    const auto start = Clock::now();
    graphs.run(int64_t(batch.size()), rows, [&] {
      Tape tape;
      Pass pass(tuner, tape);
      pass.set_dropout(model.config().dropout, seed, uint64_t(step));
      trained.enter(pass);
      const Model::Loss loss = objective.loss(model, pass, batch, {.gradient_scale = scale});
      tape.backward(loss.sum, Tensor::of(std::vector<float>{1}).to(model.device()));
      const std::vector<Tensor> gradients = trained.gradients(pass);
      log.add(loss.sum.value, gradients, 1);
      optimizer.step(1e-4, log.gate(), gradients);
    });
    log.take();  // waits
    if (step >= warm_up) seconds.push_back(seconds_since(start));
  }
  return seconds;
}

std::vector<double> time_decoding(Model& model, Hooks& hooks, const std::vector<std::vector<int32_t>>& prompts,
                                  int64_t new_tokens, int64_t warm_up, int64_t times) {
  const GenerationOptions generation{.max_new_tokens = new_tokens,
                                     .eos = std::vector<int32_t>(),
                                     .batch_size = std::max<int64_t>(1, int64_t(prompts.size()))};
  std::vector<double> seconds;
  for (int64_t i = 0; i < times + warm_up; ++i) {
    const auto start = Clock::now();
    generate(model, hooks, prompts, generation);
    if (i >= warm_up) seconds.push_back(seconds_since(start));
  }
  return seconds;
}

}  // namespace cambium
