#include "tuning/trainer.h"

#include <algorithm>
#include <array>
#include <functional>

#include "core/signals.h"

namespace cambium {
namespace {

// One of the trainees, in the loop.
struct Runner {
  Trainee* trainee;
  TrainListener* listener;
  int number;  // of its tuner in the mixture
  TrainOutcome outcome = {};

  bool goes_on() const { return outcome.end == TrainEnd::finished && !trainee->is_done(); }
  // What fails is this one's own affair.
  void guarded(const std::function<void()>& work) {
    try {
      work();
    } catch (const WorkerFailed&) {  // all of the job's
      throw;
    } catch (const std::exception&) {
      outcome = {TrainEnd::failed, std::current_exception()};
    }
  }
};

bool draws(const Trainee& t) {
  const DropoutRates& d = t.options().dropout;
  return d.embedding > 0 || d.attention > 0 || d.residual > 0 || d.activation > 0 || t.tuner().draws();
}

// Whether one pass can serve both: it drops with the rates and random numbers of one seed and step.
bool fit_together(const Trainee& a, const Trainee& b) {
  const TrainOptions &p = a.options(), &q = b.options();
  if (p.recompute != q.recompute) return false;
  if (!draws(a) && !draws(b)) return true;
  const auto rates = [](const DropoutRates& d) {
    return std::array{d.embedding, d.attention, d.residual, d.activation};
  };
  return p.seed == q.seed && a.step() == b.step() && rates(p.dropout) == rates(q.dropout);
}

using Group = std::vector<Runner*>;

std::vector<Group> grouped(const Group& runners) {
  std::vector<Group> groups;
  for (Runner* r : runners) {
    const auto fits = [&](const Group& g) { return fit_together(*g.front()->trainee, *r->trainee); };
    const auto found = std::find_if(groups.begin(), groups.end(), fits);
    if (found == groups.end()) groups.push_back({r});
    else found->push_back(r);
  }
  return groups;
}

// What failed at one worker has failed at all.
void agree(Communicator& workers, const Group& group) {
  if (workers.size() == 1) return;
  const auto failed = [](const Runner* r) { return r->outcome.end == TrainEnd::failed; };
  if (!workers.any(std::any_of(group.begin(), group.end(), failed))) return;
  for (Runner* r : group) {
    const auto all = workers.gather_to_all(failed(r) ? "failed: " + message_of(r->outcome.error) : "");
    const auto first = std::find_if(all.begin(), all.end(), [](const std::string& s) { return !s.empty(); });
    if (first == all.end() || failed(r)) continue;
    const Error error(text(workers.name_of(int(first - all.begin())), ": ", first->substr(8)));
    r->outcome = {TrainEnd::failed, std::make_exception_ptr(error)};
  }
}

// This worker's shard number n of all that have one with sequences in it.
void run_shard(Model& model, Hooks& hooks, const Group& group, int64_t n) {
  std::vector<StepPart> parts;
  Group members;
  for (Runner* r : group) {
    const ShardRange own = r->trainee->own_shards();
    if (n >= own.end - own.begin) continue;
    StepPart part = r->trainee->shard(own.begin + n);
    if (part.batch.empty()) r->trainee->skip_shard();
    else parts.push_back(std::move(part)), members.push_back(r);
  }
  if (parts.empty()) return;
  const Trainee& first = *group.front()->trainee;
  Tape tape;
  Pass pass(hooks, tape);
  pass.recompute = first.options().recompute;
  pass.set_dropout(first.options().dropout, first.options().seed, uint64_t(first.step()));
  for (Runner* r : members) r->trainee->trained().enter(pass);
  const std::vector<Model::Loss> losses = losses_of(model, pass, parts);
  run_backward(tape, losses);
  for (size_t i = 0; i < members.size(); ++i) {
    Trainee& t = *members[i]->trainee;
    t.add_shard(t.own_shards().begin + n, losses[i], t.trained().gradients(pass));
  }
}

void run_step(Model& model, Hooks& hooks, const Group& group, gpu::StepGraphs& graphs) {
  int64_t sequences = 0, rows = 0, shards = 0;
  for (const Runner* r : group) {
    sequences += r->trainee->sequences(), rows += r->trainee->rows();
    shards = std::max(shards, r->trainee->own_shards().end - r->trainee->own_shards().begin);
  }
  graphs.run(sequences, rows, [&] {
    for (int64_t n = 0; n < shards; ++n) run_shard(model, hooks, group, n);
    for (Runner* r : group) r->trainee->update();
  });
}

}  // namespace

void check_together(Model& model, std::span<Trainee* const> trainees) {
  std::vector<Tuner*> tuners;
  for (const Trainee* t : trainees) tuners.push_back(&t->tuner());
  Mixture(tuners, model);
  for (size_t i = 0; trainees.size() > 1 && i < trainees.size(); ++i)
    for (const TrainedSet::Entry& e : trainees[i]->trained().entries())
      check_input(!e.of_base, "run ", i, " (", trainees[i]->tuner().method(), ") trains ", e.name,
                  " of the base, which the others read: it needs a process of its own");
}

std::vector<TrainOutcome> train_together(Model& model, std::span<Trainee* const> trainees,
                                         std::span<TrainListener* const> listeners, gpu::StepGraphs& graphs) {
  check_together(model, trainees);
  std::vector<Tuner*> tuners;
  std::vector<Runner> runners;
  for (size_t i = 0; i < trainees.size(); ++i) {
    tuners.push_back(&trainees[i]->tuner());
    runners.push_back({trainees[i], listeners[i], int(i)});
  }
  Communicator& workers = trainees.front()->workers();
  Mixture mixture(tuners, model);
  const uint64_t frozen = frozen_checksum(model, trainees.front()->trained());
  for (Trainee* t : trainees) t->begin(frozen);
  while (std::any_of(runners.begin(), runners.end(), [](const Runner& r) { return r.goes_on(); })) {
    Group active;
    for (Runner& r : runners) {
      if (!r.goes_on()) continue;
      r.guarded([&] { r.trainee->begin_step(r.number); });
      active.push_back(&r);
    }
    agree(workers, active);
    std::erase_if(active, [](const Runner* r) { return r->outcome.end != TrainEnd::finished; });
    for (const Group& group : grouped(active)) run_step(model, mixture, group, graphs);
    const bool stops = workers.any(stop_signal() != 0);
    for (Runner* r : active)
      r->guarded([&] {
        const bool last = r->trainee->is_done();
        r->trainee->after_step(*r->listener, stops && !last);
        if (stops && !last) r->outcome.end = TrainEnd::stopped;
      });
    agree(workers, active);
  }
  std::vector<TrainOutcome> outcomes;
  for (const Runner& r : runners) outcomes.push_back(r.outcome);
  return outcomes;
}

TrainEnd Trainer::run(TrainListener& listener) {
  Trainee* const one[] = {this};
  TrainListener* const its[] = {&listener};
  const TrainOutcome outcome = train_together(model(), one, its, graphs_).front();
  if (outcome.error) std::rethrow_exception(outcome.error);
  return outcome.end;
}

}  // namespace cambium
