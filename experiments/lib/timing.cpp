#include "experiments/lib/timing.h"

#include <chrono>
#include <ctime>

#include "core/random.h"
#include "cuda/graph.h"
#include "tuning/step.h"
#include "tuning/step_log.h"
#include "tuning/trained_set.h"

namespace cambium {
namespace {

double processor_seconds() {
  timespec now = {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

// Calls run(i) for i in [0, warm_up + count).
template <class Run>
Times time_runs(int64_t warm_up, int64_t count, const Run& run) {
  using Clock = std::chrono::steady_clock;
  Times times;
  for (int64_t i = 0; i < warm_up + count; ++i) {
    const auto start = Clock::now();
    const double before = processor_seconds();
    run(i);
    if (i < warm_up) continue;
    times.processor.push_back(processor_seconds() - before);
    times.clock.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  return times;
}

}  // namespace

std::vector<int32_t> random_tokens(int64_t count, int64_t vocabulary, uint64_t seed, int64_t index) {
  const RandomKey key = random_key(seed, "bench", uint64_t(index));
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(int32_t(uint64_t(philox(key, uint32_t(i), 0, 0, 0).word[0]) * uint64_t(vocabulary) >> 32));
  return ids;
}

Times time_training_steps(Model& model, Tuner& tuner, const Batch& batch, const Objective& objective, int64_t warm_up,
                          int64_t steps, uint64_t seed) {
  TrainedSet trained(model, tuner, {}, objective);
  AdamWOptimizer optimizer({}, trained.for_optimizer());
  objective.check(model, batch);
  model.check_positions(batch, tuner);
  const StepPart part{&objective, batch, {.gradient_scale = 1 / float(objective.scored(model, batch))}};
  int64_t rows = 0;
  for (const Sequence& s : batch) rows += int64_t(s.ids.size() + s.labels.size());
  gpu::StepGraphs graphs(model.device());
  StepLog log(model.device(), 1);
  return time_runs(warm_up, steps, [&](int64_t step) {
    graphs.run(int64_t(batch.size()), rows, [&] {
      Tape tape;
      Pass pass(tuner, tape);
      pass.set_dropout(model.config().dropout, seed, uint64_t(step));
      trained.enter(pass);
      const std::vector<Model::Loss> losses = losses_of(model, pass, std::span(&part, 1));
      run_backward(tape, losses);
      const std::vector<Tensor> gradients = trained.gradients(pass);
      log.add(losses.front().sum.value, gradients, 1);
      optimizer.step(1e-4, log.gate(), gradients);
    });
    log.take();  // waits
  });
}

Times time_decoding(Model& model, Hooks& hooks, const std::vector<std::vector<int32_t>>& prompts, int64_t new_tokens,
                    int64_t warm_up, int64_t times) {
  const GenerationOptions generation{.max_new_tokens = new_tokens,
                                     .eos = std::vector<int32_t>(),
                                     .batch_size = std::max<int64_t>(1, int64_t(prompts.size()))};
  return time_runs(warm_up, times, [&](int64_t) { generate(model, hooks, prompts, generation); });
}

}  // namespace cambium
