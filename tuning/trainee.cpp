#include "tuning/trainee.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "core/random.h"

namespace cambium {
namespace {

constexpr int64_t kWatchedSteps = 10, kRoundedSteps = 50;
constexpr int64_t kEvaluated = -1;  // the round of examples that are looked at without training

// The options with the tuner's own rates behind those that were asked for.
OptimizerOptions with_rates_of(const Tuner& tuner, const TrainedSet& trained, OptimizerOptions options) {
  for (const TrainedSet::Entry& e : trained.entries())
    if (const double factor = tuner.rate_factor(e.name); factor != 1) options.rate_factors.push_back({e.name, factor});
  return options;
}

}  // namespace

Trainee::Trainee(Model& model, Tuner& tuner, TrainedSet& trained, TrainData data, TrainOptions options,
                 Communicator& workers)
    : model_(model), tuner_(tuner), alone_(std::array{&tuner}, model), trained_(trained), data_(std::move(data)),
      options_(std::move(options)), workers_(workers), schedule_(schedule_named(options_.schedule)),
      optimizer_(make_optimizer(options_.optimizer, with_rates_of(tuner, trained, options_.optimizer_options),
                                trained.for_optimizer())) {
  check_input(!data_.examples.empty(), "there are no examples to train on");
  check_options(options_);
  check_shards(workers_, options_.shards);
  if (options_.lr == 0) options_.lr = tuner.default_learning_rate();
  steps_per_epoch_ = (data_.examples.size() + options_.batch_size - 1) / options_.batch_size;
  total_steps_ = options_.steps ? options_.steps : steps_per_epoch_ * options_.epochs;
  warmup_ = warmup_steps(options_.warmup, total_steps_);
  // Behind a matrix of zeros (LoRA's B) gradients are zero until an update has changed it; a warm-up's first has rate
  // 0.
  const int64_t needed = warmup_ > 0 ? 3 : 2;
  // Sums of bfloat16 numbers come out as exact zeros now and then: it takes more steps until all scalars had another.
  const bool rounds = model_.weight_type() == DType::bf16;
  const int64_t watched = !rounds                        ? kWatchedSteps
                          : total_steps_ < kRoundedSteps ? kWatchedSteps - 1  // too few to be certain
                                                         : kRoundedSteps;
  audit_.emplace(trained_, tuner_, total_steps_ < needed ? 0 : std::min(total_steps_, watched));
  for (const Examples* set : {&data_.examples, &data_.dev})
    if (set->in_memory() && !set->empty()) {
      const Batch all = views(set->range(0, set->size()), kEvaluated);
      data_.objective->check(model_, all);
      alone_.check(all);
      model_.check_positions(all, alone_);
      check_input(data_.objective->scored(model_, all) > 0,
                  "the examples have no token to score: give targets other than ", kNotScored);
    }
}

Batch Trainee::views(const Batch& examples, int64_t round) const {
  const RandomKey key = random_key(options_.seed, "objective", uint64_t(round));
  Batch batch;
  for (const Sequence& s : examples) batch.push_back(data_.objective->view(s, key));
  return batch;
}

void Trainee::resume_at(int64_t step) {
  step_ = step;
  optimizer_->steps = step;
  if (step > 0) audit_.reset();
}

Batch Trainee::first_examples(int64_t count) const { return views(data_.examples.range(0, count), kEvaluated); }

std::vector<int32_t> Trainee::batch_at(int64_t step) {
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

Batch Trainee::read_batch(const std::vector<int32_t>& numbers) const {
  Batch batch;
  for (const int32_t n : numbers) batch.push_back(data_.examples[n]);
  batch = views(batch, (step_ - 1) / steps_per_epoch_);
  if (!data_.examples.in_memory() || data_.objective->is_random()) {
    data_.objective->check(model_, batch);
    alone_.check(batch);
    model_.check_positions(batch, alone_);
  }
  return batch;
}

void Trainee::begin(uint64_t frozen) {
  if (workers_.size() > 1) take_from_first();
  frozen_ = frozen;
  log_.emplace(model_.device(), report_every());
  pending_.clear(), tree_ = {}, losses_ = {};
}

// A worker that continues a run has no need of its checkpoint.
void Trainee::take_from_first() {
  for (const TrainedSet::Entry& e : trained_.entries()) broadcast(workers_, e.value);
  trained_.refresh_working();
  for (const auto& [name, state] : optimizer_->state()) broadcast(workers_, state);
  struct {
    int64_t step;
    double best_dev;
    bool has_best;
  } at{step_, best_dev.value_or(0), best_dev.has_value()};
  workers_.broadcast(std::as_writable_bytes(std::span(&at, 1)));
  if (workers_.is_first()) return;
  resume_at(at.step);
  best_dev = at.has_best ? std::optional(at.best_dev) : std::nullopt;
}

void Trainee::begin_step(int number) {
  if (pending_.empty()) pending_since_ = std::chrono::steady_clock::now();
  ++step_;
  batch_ = read_batch(batch_at(step_));
  scored_ = data_.objective->scored(model_, batch_);
  CHECK(scored_ > 0, "step ", step_, ": no token of the batch is scored");
  StepReport step{.step = step_,
                  .steps = total_steps_,
                  .lr = options_.lr * schedule_factor(schedule_, step_, warmup_, total_steps_)};
  for (const Sequence& s : batch_) step.tokens += int64_t(s.ids.size());
  pending_.push_back(step);
  for (Sequence& s : batch_)
    if (s.tuner >= 0) s.tuner = number;
}

int64_t Trainee::rows() const {
  int64_t rows = 0;
  for (const Sequence& s : batch_) rows += int64_t(s.ids.size() + s.labels.size());
  return rows;
}

StepPart Trainee::shard(int64_t s) const {
  const int64_t n = sequences(), S = options_.shards;
  const Batch all(batch_.begin() + s * n / S, batch_.begin() + (s + 1) * n / S);
  Batch own;
  for (const size_t i : by_tuner(all)) own.push_back(all[i]);
  return {
      data_.objective.get(),
      std::move(own),
      {.gradient_scale = 1 / float(scored_), .label_smoothing = options_.label_smoothing, .z_loss = options_.z_loss}};
}

void Trainee::add_shard(int64_t s, const Model::Loss& loss, std::vector<Tensor> gradients) {
  if (!losses_) losses_ = no_losses();
  losses_.rows(s, s + 1).copy_from(loss.sum.value.reshape({1}));
  if (!loss.sum.wants_gradient() || loss.scored == 0) skip_shard();
  else tree_.add(std::move(gradients));
}

// Of shards without sequences, and of those that other workers run.
Tensor Trainee::no_losses() const {
  return Tensor::zeros({options_.shards}, accumulator(model_.weight_type()), model_.device());
}

void Trainee::skip_shard() { tree_.add(std::vector<Tensor>(trained_.entries().size())); }

void Trainee::update() {
  std::vector<Tensor> gradients = tree_.total();
  if (workers_.size() > 1) {
    std::vector<Tensor> values;
    for (const TrainedSet::Entry& e : trained_.entries()) values.push_back(e.value);
    gradients = sum_over_workers(workers_, std::move(gradients), values);
    if (!losses_) losses_ = no_losses();
    gather_rows(workers_, losses_);
  }
  log_->add(losses_, gradients, options_.clip);
  optimizer_->step(pending_.back().lr, log_->gate(), gradients);
  losses_ = {};
  watched_ = is_watched() ? std::move(gradients) : std::vector<Tensor>();
}

int64_t Trainee::report_every() const {
  constexpr int64_t kOnGpu = 10;
  return options_.report_every ? options_.report_every : model_.device().is_gpu() ? kOnGpu : 1;
}

void Trainee::report(TrainListener& listener) {
  std::vector<StepReport> steps = std::exchange(pending_, {});
  if (steps.empty()) return;
  const std::vector<StepFacts> facts = log_->take();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - pending_since_).count();
  int64_t tokens = 0;
  for (const StepReport& r : steps) tokens += r.tokens;
  for (size_t i = 0; i < steps.size(); ++i) {
    StepReport& r = steps[i];
    r.loss = facts[i].loss, r.gradient_norm = facts[i].gradient.norm, r.tokens_per_second = double(tokens) / seconds;
    if (!facts[i].finite()) step_ = r.step, optimizer_->steps = r.step - 1;  // later steps changed nothing
    const int64_t bad = facts[i].gradient.not_finite;
    CHECK(facts[i].finite(), "step ", r.step, ": the loss is ", std::isnan(r.loss) ? std::fabs(r.loss) : r.loss,
          ", the gradient of ", bad < 0 ? "no parameter" : trained_.entries()[size_t(bad)].name,
          " is not finite; stopped before the update.\nThe last checkpoint is as it was; a lower --lr or --clip may "
          "help");
    listener.on_step(r);
  }
}

double Trainee::evaluate() {
  Pass pass(alone_);
  struct Part {
    double sum;
    int64_t scored;
  };
  std::string own;  // parts of batches r, r + W, ...
  const int64_t count = (data_.dev.size() + options_.batch_size - 1) / options_.batch_size;
  for (int64_t b = workers_.rank(); b < count; b += workers_.size()) {
    const Batch batch = views(data_.dev.range(b * options_.batch_size, (b + 1) * options_.batch_size), kEvaluated);
    const Model::Loss l = data_.objective->loss(model_, pass, batch, {.gradient_scale = 1, .gradient = false});
    const Tensor value = l.sum.value.to(Device::cpu()).to(DType::f64);
    const Part part{value.data<double>()[0], l.scored};
    own.append(reinterpret_cast<const char*>(&part), sizeof part);
  }
  const std::vector<std::string> all = workers_.gather_to_all(own);
  double sum = 0;
  int64_t scored = 0;
  for (int64_t b = 0; b < count; ++b) {  // in the order of one process
    Part part;
    std::memcpy(&part, all[size_t(b % workers_.size())].data() + size_t(b / workers_.size()) * sizeof part,
                sizeof part);
    sum += part.sum, scored += part.scored;
  }
  CHECK(scored > 0, "no token of the dev set is scored");
  return sum / double(scored);
}

void Trainee::check_values() const {
  std::vector<Tensor> values;
  for (const TrainedSet::Entry& e : trained_.entries()) values.push_back(e.value);
  const int64_t bad = gradient_norm(values).not_finite;
  CHECK(bad < 0, "step ", step_, ": ", bad < 0 ? "" : trained_.entries()[size_t(bad)].name,
        " is not finite after the update; nothing is saved.\nThe last checkpoint is as it was; a lower --lr may help");
}

void Trainee::evaluate(TrainListener& listener) {
  const double loss = evaluate();
  CHECK(std::isfinite(loss), "step ", step_, ": the loss of the dev set is ", loss, "; nothing is saved");
  const bool best = !best_dev || loss < *best_dev;
  if (best) best_dev = loss;
  listener.on_evaluation(step_, loss, best);
}

void Trainee::after_step(TrainListener& listener, bool stops) {
  if (is_watched() || int64_t(pending_.size()) == report_every()) report(listener);
  if (is_watched()) audit_->see(step_, std::exchange(watched_, {}));
  const bool evaluates =
      !data_.dev.empty() && (is_done() || step_ % (options_.eval_every ? options_.eval_every : steps_per_epoch_) == 0);
  const bool saves = is_done() || stops || (options_.save_every && step_ % options_.save_every == 0);
  if (evaluates || saves) report(listener), check_values();
  if (evaluates) evaluate(listener);
  if (is_done())
    CHECK(frozen_checksum(model_, trained_) == frozen_, "the frozen base changed while training: nothing is saved");
  if (saves) listener.on_save(step_, is_done());
}

}  // namespace cambium
