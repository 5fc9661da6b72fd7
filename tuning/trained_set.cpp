#include "tuning/trained_set.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/cpu/parallel.h"
#include "core/progress.h"
#include "core/random.h"

namespace cambium {

TrainedSet::TrainedSet(Model& model, Tuner& tuner, const std::function<Tensor(const std::string&)>& master,
                       const Objective& objective) {
  for (const NamedParameter& p : tuner.parameters())
    entries_.push_back({p.name, false, p.parameter, p.begin, p.end, p.value(), {}});
  for (const NamedParameter& p : model.parameters()) {
    const bool chosen = objective.trains(p.name) || (tuner.trains(p.name) && objective.reads(p.name));
    if (p.parameter->buffer || !chosen) continue;
    Entry e{p.name, true, p.parameter, p.begin, p.end, p.value(), {}};
    if (e.value.dtype() == DType::bf16) {
      e.working = e.value;
      // A copy: the source may hand out a file's mapped bytes, which nobody may write.
      e.value = master ? master(p.name).clone().to(model.device()) : e.working.to(DType::f32);
      CHECK(e.value.shape() == e.working.shape(), p.name, ": master ", e.value.shape(), " of ", e.working.shape());
    }
    entries_.push_back(std::move(e));
  }
  check_input(!entries_.empty(), tuner.method(), ": nothing in this model matches what is to be trained");
}

std::vector<Trained> TrainedSet::for_optimizer() const {
  std::vector<Trained> all;
  for (const Entry& e : entries_) all.push_back({e.name, e.value, e.working});
  return all;
}

int64_t TrainedSet::scalars() const {
  int64_t count = 0;
  for (const Entry& e : entries_) count += e.value.size();
  return count;
}

bool TrainedSet::trains(const Parameter& p) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.parameter == &p; });
}

void TrainedSet::enter(Pass& pass) const {
  for (const Entry& e : entries_) pass.train(*e.parameter);
}

std::vector<Tensor> TrainedSet::gradients(const Pass& pass) const {
  std::vector<Tensor> all;
  for (const Entry& e : entries_) {
    const Tensor whole = pass.gradient(*e.parameter);
    const bool part = whole && e.end - e.begin < whole.shape()[0];
    all.push_back(part ? whole.rows(e.begin, e.end) : whole);
  }
  return all;
}

void TrainedSet::refresh_working() const {
  for (const Entry& e : entries_)
    if (e.working) e.working.copy_from(e.value.to(e.working.dtype()));
}

LivenessAudit::LivenessAudit(const TrainedSet& trained, const Tuner& tuner, int64_t last_step)
    : trained_(trained), tuner_(tuner), last_step_(last_step) {}

void LivenessAudit::see(int64_t step, const std::vector<Tensor>& gradients) {
  if (!watches(step)) return;
  constexpr int64_t kSample = 1 << 20;
  const auto& entries = trained_.entries();
  alive_.resize(entries.size());
  std::string dead, late;
  bool short_of_it = false;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (!gradients[i]) {
      dead += text("\n  ", entries[i].name, " ", entries[i].value.shape(), ": no gradient reached it");
      continue;
    }
    const int64_t stride = gradients[i].size() / kSample + 1;
    const Tensor host = gradients[i].to(Device::cpu()).to(DType::f64);
    alive_[i].resize(size_t((host.size() + stride - 1) / stride));
    for (size_t k = 0; k < alive_[i].size(); ++k)
      if (host.data<double>()[int64_t(k) * stride] != 0) alive_[i][k] = true;
    const double share = double(std::count(alive_[i].begin(), alive_[i].end(), true)) / double(alive_[i].size());
    const double declared = tuner_.live_share(entries[i].name);
    if (share >= declared) continue;
    short_of_it = true;
    if (step != last_step_) continue;
    // In fewer steps chance may leave some scalars out, in two or three all of a small tensor.
    const bool certain = last_step_ >= (share > 0 ? 10 : 4);
    (certain ? dead : late) += text("\n  ", entries[i].name, " ", entries[i].value.shape(), ": ", share * 100,
                                    " % of its scalars, declared are ", declared * 100, " %");
  }
  if (dead.empty() && late.empty() && (step == last_step_ || !short_of_it)) {
    int64_t seen = 0, live = 0;
    for (const std::vector<bool>& sample : alive_)
      seen += int64_t(sample.size()), live += std::count(sample.begin(), sample.end(), true);
    Progress::say(text("audit: after step ", step, " a gradient has reached all ", entries.size(), " tensors that train, ",
                       100 * double(live) / double(seen), " % of their scalars"));
  }
  if (step == last_step_ || (dead.empty() && !short_of_it)) alive_.clear(), last_step_ = 0;
  if (!late.empty())
    Progress::say(text("note: step ", step, ": in so few steps a gradient has not reached all of", late));
  CHECK(dead.empty(), "step ", step, ": these were to be trained and do not learn:", dead);
}

uint64_t frozen_checksum(Model& model, const TrainedSet& trained) {
  return parameter_checksum(model, [&](const NamedParameter& p) {
    return std::none_of(trained.entries().begin(), trained.entries().end(),
                        [&](const TrainedSet::Entry& e) { return e.parameter == p.parameter && e.begin == p.begin; });
  });
}

uint64_t parameter_checksum(Model& model, const std::function<bool(const NamedParameter&)>& counts) {
  uint64_t sum = 0;
  for (const NamedParameter& p : model.parameters()) {
    if (!counts(p)) continue;
    const Tensor value = p.value().to(Device::cpu());
    const char* bytes = static_cast<const char*>(value.raw());
    const int64_t words = value.bytes() / 8;
    std::atomic<uint64_t> part{mix_bits(uint64_t(value.bytes()))};  // sums of whole numbers: in any order
    constexpr int64_t kBlock = 1 << 14;
    cpu::parallel_tasks((words + kBlock - 1) / kBlock, [&](int64_t block) {
      uint64_t some = 0;
      for (int64_t i = block * kBlock; i < std::min(words, (block + 1) * kBlock); ++i) {
        uint64_t word;
        std::memcpy(&word, bytes + i * 8, 8);
        some += mix_bits(word + uint64_t(i) * 0x9e3779b97f4a7c15u);
      }
      part += some;
    });
    uint64_t rest = 0;
    std::memcpy(&rest, bytes + words * 8, size_t(value.bytes() - words * 8));
    sum = mix_bits(sum + part + mix_bits(rest));
  }
  return sum;
}

void GradientTree::add(std::vector<Tensor> gradients) {
  partial_.emplace_back(1, std::move(gradients));
  while (partial_.size() >= 2 && partial_.back().first == partial_[partial_.size() - 2].first) {
    auto [count, right] = std::move(partial_.back());
    partial_.pop_back();
    auto& [left_count, left] = partial_.back();
    left_count += count;
    for (size_t i = 0; i < left.size(); ++i) {
      if (!left[i]) left[i] = right[i];
      else if (right[i]) DISPATCH(add_scaled, left[i].stream())(left[i].stream(), left[i], right[i], 1, left[i]);
    }
  }
}

std::vector<Tensor> GradientTree::total() {
  CHECK(partial_.size() == 1, "gradients of ", partial_.size(), " subtrees; the number of shards is no power of two");
  std::vector<Tensor> sum = std::move(partial_.front().second);
  partial_.clear();
  return sum;
}

}  // namespace cambium
