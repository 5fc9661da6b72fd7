#include "tuning/optimizer.h"

#include <algorithm>
#include <cmath>

namespace cambium {
namespace {

std::vector<Tensor> zeros_like(const std::vector<Trained>& trained) {
  std::vector<Tensor> all;
  for (const Trained& t : trained) all.push_back(Tensor::zeros(t.value.shape(), t.value.dtype(), t.value.device()));
  return all;
}

// A tensor as one row, whatever its shape.
View flat(const Tensor& t) { return t ? View(t.reshape({t.size()})) : View(); }

std::vector<OptimizerTensor> list(const std::vector<size_t>& numbers, const std::vector<Trained>& trained,
                                  const std::vector<Tensor>& gradients, const std::vector<Tensor>& first,
                                  const std::vector<Tensor>& second) {
  std::vector<OptimizerTensor> tensors;
  for (const size_t i : numbers)
    tensors.push_back({flat(trained[i].value), flat(gradients[i]), first.empty() ? View() : flat(first[i]),
                         second.empty() ? View() : flat(second[i]), flat(trained[i].working)});
  return tensors;
}

std::vector<std::pair<std::string, Tensor>> named(const std::vector<Trained>& trained, const std::vector<Tensor>& state,
                                                  const char* suffix) {
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t i = 0; i < state.size(); ++i) all.emplace_back(trained[i].name + suffix, state[i]);
  return all;
}

Stream& stream_of(const std::vector<Trained>& trained) { return trained.front().value.stream(); }

bool has_part(const std::string& name, const std::string& part) { return name.find(part) != name.npos; }

}  // namespace

Optimizer::Optimizer(const OptimizerOptions& options, std::vector<Trained> trained)
    : missed(trained.size(), 0), options_(options), trained_(std::move(trained)) {
  std::vector<bool> used(options_.rate_factors.size());
  for (size_t i = 0; i < trained_.size(); ++i) {
    const std::string& name = trained_[i].name;
    Group g{.decay = options_.weight_decay};
    for (const std::string& part : options_.no_decay)
      if (has_part(name, part)) g.decay = 0;
    for (size_t f = used.size(); f-- > 0;)
      if (has_part(name, options_.rate_factors[f].part)) g.rate = options_.rate_factors[f].factor, used[f] = true;
    const auto same = [&](const Group& other) { return other.rate == g.rate && other.decay == g.decay; };
    auto found = std::find_if(groups_.begin(), groups_.end(), same);
    if (found == groups_.end()) found = groups_.insert(found, g);
    found->tensors.push_back(i);
  }
  for (size_t f = 0; f < used.size(); ++f)
    check_input(used[f], "no trained tensor has ", options_.rate_factors[f].part,
                " in its name, which was to have a rate of its own; there is ", trained_.front().name);
}

std::vector<Optimizer::Update> Optimizer::count_step(const std::vector<Tensor>& gradients) {
  CHECK(gradients.size() == trained_.size(), "optimizer: ", gradients.size(), " gradients for ", trained_.size(),
        " tensors");
  ++steps;
  std::vector<Update> updates;
  for (const Group& group : groups_) {
    const size_t first = updates.size();
    for (const size_t i : group.tensors) {
      if (!gradients[i]) {
        ++missed[i];
        continue;
      }
      const int64_t own = steps - missed[i];
      auto found = std::find_if(updates.begin() + long(first), updates.end(), [&](const Update& u) { return u.steps == own; });
      if (found == updates.end()) found = updates.insert(found, {&group, own, {}});
      found->tensors.push_back(i);
    }
  }
  return updates;
}

AdamWOptimizer::AdamWOptimizer(const OptimizerOptions& options, std::vector<Trained> trained)
    : Optimizer(options, std::move(trained)), first_(zeros_like(trained_)), second_(zeros_like(trained_)) {}

void AdamWOptimizer::step(double lr, const Tensor& gate, const std::vector<Tensor>& gradients) {
  for (const Update& u : count_step(gradients)) {
    const AdamWStep step{.lr = lr * u.group->rate,
                         .beta1 = options_.beta1,
                         .beta2 = options_.beta2,
                         .epsilon = options_.epsilon,
                         .decay = u.group->decay,
                         .correction1 = 1 - std::pow(options_.beta1, double(u.steps)),
                         .correction2 = 1 - std::pow(options_.beta2, double(u.steps)),
                         .gate = gate};
    const auto tensors = list(u.tensors, trained_, gradients, first_, second_);
    DISPATCH(adamw, stream_of(trained_))(stream_of(trained_), step, tensors);
  }
}

std::vector<std::pair<std::string, Tensor>> AdamWOptimizer::state() const {
  auto all = named(trained_, first_, ".first");
  const auto second = named(trained_, second_, ".second");
  all.insert(all.end(), second.begin(), second.end());
  return all;
}

SgdOptimizer::SgdOptimizer(const OptimizerOptions& options, std::vector<Trained> trained)
    : Optimizer(options, std::move(trained)) {
  if (options_.momentum != 0) momentum_ = zeros_like(trained_);
}

void SgdOptimizer::step(double lr, const Tensor& gate, const std::vector<Tensor>& gradients) {
  for (const Update& u : count_step(gradients)) {
    const SgdStep step{lr * u.group->rate, options_.momentum, u.group->decay, gate};
    const auto tensors = list(u.tensors, trained_, gradients, momentum_, {});
    DISPATCH(sgd, stream_of(trained_))(stream_of(trained_), step, tensors);
  }
}

std::vector<std::pair<std::string, Tensor>> SgdOptimizer::state() const {
  return named(trained_, momentum_, ".momentum");
}

AdafactorOptimizer::AdafactorOptimizer(const OptimizerOptions& options, std::vector<Trained> trained)
    : Optimizer(options, std::move(trained)) {
  for (const Trained& t : trained_) {
    const Tensor& v = t.value;
    const bool factored = v.shape().rank() >= 2 && std::min(v.rows(), v.cols()) >= options_.factor_min_dim;
    rows_.push_back(factored ? Tensor::zeros({v.rows()}, v.dtype(), v.device()) : Tensor());
    columns_.push_back(Tensor::zeros({factored ? v.cols() : v.size()}, v.dtype(), v.device()));
  }
}

void AdafactorOptimizer::step(double lr, const Tensor& gate, const std::vector<Tensor>& gradients) {
  for (const Update& u : count_step(gradients)) {
    const double t = double(options_.initial_step + u.steps);
    const AdafactorStep step{.lr = lr * u.group->rate,
                             .beta2 = 1 - std::pow(t, -options_.decay_rate),
                             .epsilon1 = options_.epsilon1,
                             .epsilon2 = options_.epsilon2,
                             .clip = options_.clip,
                             .decay = u.group->decay,
                             .scale_by_parameter = options_.scale_by_parameter,
                             .decay_times_lr = options_.decay_times_lr,
                             .gate = gate};
    std::vector<AdafactorTensor> tensors;
    for (const size_t i : u.tensors)
      tensors.push_back({{trained_[i].value, gradients[i], rows_[i], columns_[i], trained_[i].working}});
    DISPATCH(adafactor, stream_of(trained_))(stream_of(trained_), step, tensors);
  }
}

std::vector<std::pair<std::string, Tensor>> AdafactorOptimizer::state() const {
  std::vector<std::pair<std::string, Tensor>> all;
  for (size_t i = 0; i < trained_.size(); ++i) {
    if (rows_[i]) all.emplace_back(trained_[i].name + ".rows", rows_[i]);
    all.emplace_back(trained_[i].name + ".columns", columns_[i]);
  }
  return all;
}

std::unique_ptr<Optimizer> make_optimizer(const std::string& name, const OptimizerOptions& options,
                                          std::vector<Trained> trained) {
  CHECK(!trained.empty(), "optimizer: nothing trains");
  if (name == "adamw") return std::make_unique<AdamWOptimizer>(options, std::move(trained));
  if (name == "sgd") return std::make_unique<SgdOptimizer>(options, std::move(trained));
  if (name == "adafactor") return std::make_unique<AdafactorOptimizer>(options, std::move(trained));
  throw InputError(text("--optimizer ", name, ": there are adamw, adafactor and sgd"));
}

}  // namespace cambium
