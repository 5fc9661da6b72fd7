#include "tuning/trainer.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <numeric>

#include "core/random.h"
#include "core/sha256.h"
#include "core/signals.h"

namespace cambium {
namespace {

constexpr int64_t kWatchedSteps = 10;
constexpr int64_t kEvaluated = -1;  // the round of examples that are looked at without training

// "100" or "6%" of `total`.
int64_t warmup_steps(const std::string& option, int64_t total) {
  const bool percent = option.ends_with("%");
  const char *begin = option.data(), *end = begin + option.size() - percent;
  double value = 0;
  const auto [stop, error] = std::from_chars(begin, end, value);
  check_input(error == std::errc() && stop == end && value >= 0 && value < 1e15 && (!percent || value <= 100) &&
                  (percent || value == std::floor(value)),
              "--warmup ", option, ": give steps (100) or a percentage of all (6%)");
  return percent ? int64_t(std::llround(value / 100 * double(total))) : int64_t(value);
}

}  // namespace

std::vector<int32_t> shuffled(int64_t count, uint64_t seed, int64_t epoch) {
  std::vector<int32_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  const RandomKey key = random_key(seed, "order", uint64_t(epoch));
  for (int64_t i = count - 1; i > 0; --i) {
    const uint64_t word = philox(key, uint32_t(i), 0, 0, 0).word[0];
    std::swap(order[size_t(i)], order[size_t(word * uint64_t(i + 1) >> 32)]);
  }
  return order;
}

Sequence Examples::operator[](int64_t number) const {
  Sequence s = at_ ? at_(number) : list_[size_t(number)];
  s.index = number;
  return s;
}

Batch Examples::range(int64_t begin, int64_t end) const {
  Batch batch;
  for (int64_t i = begin; i < std::min(end, count_); ++i) batch.push_back((*this)[i]);
  return batch;
}

std::string Examples::hash() const {
  if (at_) return identity_;
  Sha256 sum;
  const auto add = [&](const std::vector<int32_t>& values) {
    const int64_t size = int64_t(values.size());
    sum.update(&size, sizeof size);
    sum.update(values.data(), values.size() * sizeof(int32_t));
  };
  for (const Sequence& s : list_) add(s.ids), add(s.labels);
  return hex(sum.finish());
}

Trainer::Trainer(Model& model, Tuner& tuner, TrainedSet& trained, TrainData data, TrainOptions options)
    : model_(model), tuner_(tuner), trained_(trained), data_(std::move(data)), options_(std::move(options)),
      schedule_(schedule_named(options_.schedule)),
      optimizer_(make_optimizer(options_.optimizer, options_.optimizer_options, trained.for_optimizer())) {
  check_input(!data_.examples.empty(), "there are no examples to train on");
  check_input(options_.batch_size >= 1 && options_.epochs >= 1 && options_.steps >= 0, "--batch-size, --epochs and --steps must be positive");
  check_input(options_.shards >= 1 && (options_.shards & (options_.shards - 1)) == 0, "--shards ", options_.shards, " is no power of two");
  check_input(options_.clip >= 0, "--clip ", options_.clip, " is negative");
  if (options_.lr == 0) options_.lr = tuner.default_learning_rate();
  steps_per_epoch_ = (data_.examples.size() + options_.batch_size - 1) / options_.batch_size;
  total_steps_ = options_.steps ? options_.steps : steps_per_epoch_ * options_.epochs;
  warmup_ = warmup_steps(options_.warmup, total_steps_);
  audit_.emplace(trained_, tuner_, std::min(total_steps_, kWatchedSteps));
  for (const Examples* set : {&data_.examples, &data_.dev})
    if (set->in_memory()) data_.objective->check(model_, views(set->range(0, set->size()), kEvaluated));
}

Batch Trainer::views(const Batch& examples, int64_t round) const {
  const RandomKey key = random_key(options_.seed, "objective", uint64_t(round));
  Batch batch;
  for (const Sequence& s : examples) batch.push_back(data_.objective->view(s, key));
  return batch;
}

void Trainer::resume_at(int64_t step) {
  step_ = step;
  optimizer_->steps = step;
  if (step > 0) audit_.reset();
}

Batch Trainer::first_examples(int64_t count) const { return views(data_.examples.range(0, count), kEvaluated); }

std::vector<int32_t> Trainer::batch_at(int64_t step) {
  const int64_t epoch = (step - 1) / steps_per_epoch_, place = (step - 1) % steps_per_epoch_;
  const int64_t count = data_.examples.size(), begin = place * options_.batch_size;
  if (epoch_ != epoch) {
    epoch_ = epoch;
    if (options_.shuffle) {
      order_ = shuffled(count, options_.seed, epoch);
    } else {
      order_.resize(size_t(count));
      std::iota(order_.begin(), order_.end(), 0);
    }
  }
  return {order_.begin() + begin, order_.begin() + std::min(count, begin + options_.batch_size)};
}

std::vector<Tensor> Trainer::gradients_of(const Batch& batch, int64_t scored, double& loss) {
  Tape tape;
  Pass pass(tuner_, tape);
  pass.recompute = options_.recompute;
  pass.set_dropout(options_.dropout, options_.seed, uint64_t(step_));
  trained_.enter(pass);
  const Model::Loss l = data_.objective->loss(model_, pass, batch, {.gradient_scale = 1 / float(scored), .label_smoothing = options_.label_smoothing,
                                                  .z_loss = options_.z_loss});
  const Tensor value = l.sum.value.to(Device::cpu()).to(DType::f64);
  loss += value.data<double>()[0];
  if (!l.sum.wants_gradient() || l.scored == 0) return std::vector<Tensor>(trained_.entries().size());
  const Tensor one = Tensor::of(std::vector<double>{1}).to(l.sum.value.dtype()).to(l.sum.value.device());
  tape.backward(l.sum, one);
  return trained_.gradients(pass);
}

void Trainer::update(const std::vector<int32_t>& numbers, StepReport& report) {
  Batch batch;
  for (const int32_t n : numbers) batch.push_back(data_.examples[n]);
  batch = views(batch, (step_ - 1) / steps_per_epoch_);
  if (!data_.examples.in_memory() || data_.objective->is_random()) data_.objective->check(model_, batch);
  for (const Sequence& s : batch) report.tokens += int64_t(s.ids.size());
  const int64_t scored = data_.objective->scored(model_, batch);
  CHECK(scored > 0, "step ", step_, ": no token of the batch is scored");

  // Shard s takes the sequences [s n / S, (s + 1) n / S).
  GradientTree tree;
  const int64_t n = int64_t(batch.size()), S = options_.shards;
  for (int64_t s = 0; s < S; ++s) {
    const Batch shard(batch.begin() + s * n / S, batch.begin() + (s + 1) * n / S);
    tree.add(shard.empty() ? std::vector<Tensor>(trained_.entries().size()) : gradients_of(shard, scored, report.loss));
  }
  const std::vector<Tensor> gradients = tree.total();
  CHECK(std::isfinite(report.loss), "step ", step_, ": the loss is ", report.loss,
        "; stopped before the update. The last checkpoint is as it was; a lower --lr or --clip may help");
  const GradientNorm norm = gradient_norm(gradients);
  CHECK(norm.not_finite < 0, "step ", step_, ": the gradient of ", trained_.entries()[size_t(std::max<int64_t>(0, norm.not_finite))].name,
        " is not finite; stopped before the update. The last checkpoint is as it was; a lower --lr may help");
  if (audit_) audit_->see(step_, gradients);

  report.gradient_norm = norm.norm;
  report.lr = options_.lr * schedule_factor(schedule_, step_, warmup_, total_steps_);
  const bool clips = options_.clip > 0 && norm.norm > options_.clip;
  optimizer_->step(report.lr, clips ? options_.clip / norm.norm : 1, gradients);
}

double Trainer::evaluate() {
  Pass pass(tuner_);
  double sum = 0;
  int64_t scored = 0;
  for (int64_t begin = 0; begin < data_.dev.size(); begin += options_.batch_size) {
    const Batch batch = views(data_.dev.range(begin, begin + options_.batch_size), kEvaluated);
    const Model::Loss l = data_.objective->loss(model_, pass, batch, {.gradient_scale = 1, .gradient = false});
    const Tensor value = l.sum.value.to(Device::cpu()).to(DType::f64);
    sum += value.data<double>()[0];
    scored += l.scored;
  }
  CHECK(scored > 0, "no token of the dev set is scored");
  return sum / double(scored);
}

TrainEnd Trainer::run(TrainListener& listener) {
  using Clock = std::chrono::steady_clock;
  const uint64_t frozen = frozen_checksum(model_, trained_);
  while (step_ < total_steps_) {
    ++step_;
    StepReport report{.step = step_, .steps = total_steps_};
    const auto start = Clock::now();
    update(batch_at(step_), report);
    report.tokens_per_second = double(report.tokens) / std::chrono::duration<double>(Clock::now() - start).count();
    listener.on_step(report);

    const bool last = step_ == total_steps_;
    const bool evaluates = !data_.dev.empty() && (last || step_ % (options_.eval_every ? options_.eval_every : steps_per_epoch_) == 0);
    if (evaluates) {
      const double loss = evaluate();
      const bool best = !best_dev || loss < *best_dev;
      if (best) best_dev = loss;
      listener.on_evaluation(step_, loss, best);
    }
    const bool stops = stop_signal() != 0 && !last;
    if (last) CHECK(frozen_checksum(model_, trained_) == frozen, "the frozen base changed while training: nothing is saved");
    if (last || stops || (options_.save_every && step_ % options_.save_every == 0)) listener.on_save(step_, last);
    if (stops) return TrainEnd::stopped;
  }
  return TrainEnd::finished;
}

}  // namespace cambium
