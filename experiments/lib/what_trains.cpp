#include "experiments/lib/what_trains.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <numeric>

#include "core/memory.h"
#include "tuning/step.h"

namespace cambium {
namespace {

// The most bytes of tensors that a forward and backward of this batch adds to what is there.
int64_t bytes_of_a_step(Trainee& trainee, const Batch& batch) {
  Model& model = trainee.model();
  const TrainOptions& options = trainee.options();
  Allocator& allocator = Allocator::of(model.device());
  synchronize(model.device());
  allocator.reset_peak();
  const int64_t before = allocator.counters().live;
  {
    Tape tape;
    Pass pass(trainee.tuner(), tape);
    pass.recompute = options.recompute;
    pass.set_dropout(options.dropout, options.seed, 0);
    trainee.trained().enter(pass);
    const StepPart part{
        trainee.data().objective.get(),
        batch,
        {.gradient_scale = 1, .label_smoothing = options.label_smoothing, .z_loss = options.z_loss}};
    run_backward(tape, losses_of(model, pass, std::span(&part, 1)));
    const std::vector<Tensor> gradients = trainee.trained().gradients(pass);
  }
  synchronize(model.device());
  return allocator.counters().peak - before;
}

std::string mebibytes(int64_t bytes) {
  char word[32];
  std::snprintf(word, sizeof word, bytes < (int64_t(10) << 20) ? "%.2f MiB" : "%.0f MiB", double(bytes) / double(1 << 20));
  return word;
}

}  // namespace

std::string site_of(std::string name) {
  const size_t layers = name.find(".layers.");
  if (layers == name.npos) return name;
  const size_t begin = layers + 8, end = name.find('.', begin);
  return name.replace(begin, end - begin, "*");
}

MemoryForecast forecast_memory(Trainee& trainee) {
  MemoryForecast f;
  const Model& model = trainee.model();
  const TrainOptions& options = trainee.options();
  for (const TrainedSet::Entry& e : trainee.trained().entries()) f.gradients += e.value.size() * size_of(accumulator(model.weight_type()));
  for (const auto& [_, tensor] : trainee.optimizer().state()) f.optimizer += tensor.bytes();
  constexpr int64_t kLooked = 256;  // examples
  const int64_t count = std::min(kLooked, trainee.data().examples.size());
  Batch seen = trainee.first_examples(count);
  std::stable_sort(seen.begin(), seen.end(), [](const Sequence& a, const Sequence& b) {
    return a.ids.size() + a.labels.size() > b.ids.size() + b.labels.size();
  });
  const int64_t in_shard = std::min(count, (options.batch_size + options.shards - 1) / options.shards);
  const int64_t step = bytes_of_a_step(trainee, Batch(seen.begin(), seen.begin() + in_shard));
  int64_t sums = 0;  // of earlier shards, kept as a tree
  for (int64_t s = options.shards; s > 1; s /= 2) sums += f.gradients;
  f.peak = Allocator::of(model.device()).counters().live + step + sums;
  return f;
}

std::vector<std::string> what_trains(int64_t parameters_of_model, const TrainedSet& trained, const MemoryForecast& f) {
  struct Site {
    Shape shape;
    int64_t count = 0, scalars = 0;
  };
  std::map<std::string, Site> sites;
  for (const TrainedSet::Entry& e : trained.entries()) {
    Site& s = sites[(e.of_base ? "base " : "") + site_of(e.name)];
    s.shape = e.value.shape(), ++s.count, s.scalars += e.value.size();
  }
  const double all = double(parameters_of_model);
  std::vector<std::string> lines;
  const auto line = [&](const std::string& site, const std::string& shape, int64_t count, int64_t scalars) {
    char text[256];
    std::snprintf(text, sizeof text, "%-56s %-14s x %-4lld %12lld %9.4f %%", site.c_str(), shape.c_str(), (long long)count,
                  (long long)scalars, 100 * double(scalars) / all);
    lines.emplace_back(text);
  };
  for (const auto& [name, s] : sites) line(name, text(s.shape), s.count, s.scalars);
  line("trains", "", int64_t(trained.entries().size()), trained.scalars());
  lines.push_back(text("gradients ", mebibytes(f.gradients), ", optimizer ", mebibytes(f.optimizer), ", all tensors at most ",
                       mebibytes(f.peak)));
  return lines;
}

}  // namespace cambium
