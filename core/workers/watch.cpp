#include "core/workers/watch.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/printable.h"
#include "core/temporaries.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr char kAlive = 'l', kFailed = 'f', kReported = 'k', kGoodbye = 'g';
constexpr double kGrace = 10;  // seconds that a worker has to find out by itself that another has failed

Frame frame_of(const WorkerFailure& f) {
  const json j = {{"rank", f.rank}, {"exit_code", f.exit_code}, {"text", f.text}};
  return {kFailed, j.dump(-1, ' ', false, json::error_handler_t::replace)};
}

std::optional<WorkerFailure> failure_of(const Frame& frame) {
  const json j = json::parse(frame.bytes, nullptr, false);
  if (!j.is_object() || !j.contains("rank") || !j.contains("exit_code") || !j.contains("text")) return {};
  if (!j["rank"].is_number_integer() || !j["exit_code"].is_number_integer() || !j["text"].is_string()) return {};
  return WorkerFailure{j["rank"].get<int>(), j["exit_code"].get<int>(), j["text"].get<std::string>()};
}

}  // namespace

Watch::Watch(int rank, std::vector<std::string> hosts, std::map<int, Descriptor> links, double deadline)
    : rank_(rank), hosts_(std::move(hosts)), deadline_(deadline), pause_(std::min(1.0, deadline / 10)) {
  for (auto& [r, fd] : links) links_[r] = {std::move(fd), {}, std::chrono::steady_clock::now()};
  // Signals are the main thread's: this one may not delay them.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Watch::~Watch() {
  ends_ = true;
  thread_.join();
  tell_all({kGoodbye, {}});
}

std::optional<WorkerFailure> Watch::failure() const {
  const std::lock_guard lock(mutex_);
  return own_failure_ ? std::nullopt : failure_;
}

bool Watch::fail(int exit_code, const std::string& what) {
  {
    const std::lock_guard lock(mutex_);
    const bool known = failure_.has_value();
    if (!known) {
      failure_ = {rank_, exit_code, rank_ == 0 ? what : name_of(rank_) + ": " + what};
      own_failure_ = true;
      for (auto& [r, link] : links_) tell(link, frame_of(*failure_));
    }
    if (rank_ == 0) return std::exchange(reported_, true) || (acknowledge(), false);
    if (known) return reported_ || !links_.begin()->second.parted;
  }
  for (const SteadyTime until = in_seconds(5); poll_time(until, 1) > 0;) {
    {
      const std::lock_guard lock(mutex_);
      if (reported_ || links_.begin()->second.parted) return reported_;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

void Watch::acknowledge() {  // with the lock
  for (auto& [r, link] : links_) tell(link, {kReported, {}});
}

void Watch::lost(int rank) {
  for (const SteadyTime until = in_seconds(1.5); poll_time(until, 1) > 0;) {
    if (const auto known = failure()) throw WorkerFailed(*known);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  throw WorkerFailed({rank, 1, name_of(rank) + " closed its connection: it was ended, or its network failed"});
}

void Watch::set_failure(const WorkerFailure& failure) {  // with the lock
  if (failure_) return;
  failure_ = failure, failed_at_ = std::chrono::steady_clock::now();
  if (rank_ == 0)
    for (auto& [r, link] : links_) tell(link, frame_of(failure));
}

void Watch::tell(Link& link, const Frame& frame) {  // with the lock
  if (!link.parted) send_all(link.fd.get(), packed(frame), in_seconds(0.05));
}

void Watch::tell_all(const Frame& frame) {
  const std::lock_guard lock(mutex_);
  for (auto& [r, link] : links_) tell(link, frame);
}

void Watch::understand(int rank, Link& link, const Frame& frame) {
  if (frame.kind == kGoodbye) link.parted = true;
  if (frame.kind == kReported) reported_ = true;
  if (frame.kind != kFailed) return;
  if (const auto failure = failure_of(frame)) set_failure(*failure);
  // Worker 0 reports it: the one that fails may be silent.
  if (rank_ == 0 && reported_) tell(links_[rank], {kReported, {}});
}

void Watch::hear(int rank, Link& link) {
  const bool open = read_available(link.fd.get(), link.read);
  link.heard = std::chrono::steady_clock::now();
  try {
    for (Frame frame; !link.parted && take_frame(link.read, frame);) understand(rank, link, frame);
  } catch (const InputError&) {
    link.parted = true;
    set_failure({rank, 1, name_of(rank) + " sends what no worker sends"});
  }
  if (open || link.parted) return;
  link.parted = true;
  set_failure({rank, 1, name_of(rank) + " is gone: it was killed, or its machine or network failed"});
}

void Watch::listen(SteadyTime until) {
  std::vector<pollfd> wait;
  std::vector<int> ranks;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [r, link] : links_)
      if (!link.parted) wait.push_back({link.fd.get(), POLLIN, 0}), ranks.push_back(r);
  }
  if (::poll(wait.data(), wait.size(), poll_time(until, 100)) <= 0) return;
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < wait.size(); ++i)
    if (wait[i].revents) hear(ranks[i], links_[ranks[i]]);
}

void Watch::judge_silence(SteadyTime now) {
  const std::lock_guard lock(mutex_);
  for (auto& [r, link] : links_) {
    if (link.parted || std::chrono::duration<double>(now - link.heard).count() < deadline_) continue;
    link.parted = true;
    set_failure({r, 1,
                 text(name_of(r), " gives no sign of life for ", deadline_,
                      " s: it is stopped, or its machine or network failed")});
  }
}

// The main thread may be in a long piece of work, or in a library that waits for the one that failed.
void Watch::end_if_stuck() {
  std::string what;
  int code = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!failure_ || own_failure_) return;
    const double since = std::chrono::duration<double>(std::chrono::steady_clock::now() - failed_at_).count();
    if (rank_ == 0 && !reported_ && since > 0.5) {
      reported_ = true;
      print_error(failure_->text);
      acknowledge();
    }
    if (since < kGrace) return;
    code = failure_->exit_code;
    if (rank_ != 0 && !reported_) what = failure_->text;
  }
  if (!what.empty()) print_error(what);
  remove_temporaries();
  ::_exit(code ? code : 1);
}

void Watch::run() {
  SteadyTime next = std::chrono::steady_clock::now(), last = next;
  while (!ends_) {
    listen(next);
    const SteadyTime now = std::chrono::steady_clock::now();
    // This process itself did not run: a job that was suspended goes on, and nobody was silent for that.
    if (std::chrono::duration<double>(now - last).count() > std::max(2 * pause_, deadline_ / 3)) {
      const std::lock_guard lock(mutex_);
      for (auto& [r, link] : links_) link.heard = now;
    }
    last = now;
    judge_silence(now);
    end_if_stuck();
    if (now < next) continue;
    tell_all({kAlive, {}});
    next = now + std::chrono::duration_cast<std::chrono::steady_clock::duration>(std::chrono::duration<double>(pause_));
  }
}

}  // namespace cambium
