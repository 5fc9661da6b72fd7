// Workers: processes that compute one thing together, each a rank of size many. What they tell each other goes through
// this interface; who carries it is in core/workers/ (one process alone, TCP, MPI) and tests/support/thread_workers.h.
//
// Every call but failure() and fail() is collective: all workers make the same ones in the same order. All wait
// without a limit for a worker that is slow and shows signs of life, and throw WorkerFailed soon after one has failed.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"

namespace cambium {

// How a worker failed.
struct WorkerFailure {
  int rank = 0;
  int exit_code = 1;
  std::string text;  // "worker 3 of 8 on node7: ...", in one to three lines
};

// Another worker failed, so that this one cannot go on.
class WorkerFailed : public Error {
 public:
  explicit WorkerFailed(const WorkerFailure& failure) : Error(failure.text), failure_(failure) {}
  int exit_code() const override { return failure_.exit_code; }
  const WorkerFailure& failure() const { return failure_; }

 private:
  WorkerFailure failure_;
};

// "worker 3 of 8 on node7"
std::string worker_name(int rank, const std::vector<std::string>& hosts);

class Communicator {
 public:
  Communicator(int rank, std::vector<std::string> hosts) : rank_(rank), hosts_(std::move(hosts)) {}
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return int(hosts_.size()); }
  bool is_first() const { return rank_ == 0; }
  // Of each worker.
  const std::vector<std::string>& hosts() const { return hosts_; }
  // How many workers on this one's host have lower ranks: which GPU is its own.
  int local_rank() const;
  std::string name_of(int rank) const { return worker_name(rank, hosts_); }
  // What carries: "TCP", "Open MPI 4.1.4"; for logs.
  virtual std::string description() const = 0;

  // Sends `out` to the partner and receives `in` from it, at the same time; the partner's sizes are these the other way
  // round, and either may be none. A partner is rank xor a power of two: all that trees need.
  virtual void exchange(int partner, std::span<const std::byte> out, std::span<std::byte> in) = 0;

  // Worker 0's bytes, to all.
  void broadcast(std::span<std::byte>);
  void broadcast(std::string&);  // of any length
  // What each worker gives, in the order of ranks: at worker 0 (elsewhere nothing), or at all. Of any length, at most
  // 1 GiB.
  std::vector<std::string> gather(const std::string&);
  std::vector<std::string> gather_to_all(const std::string&);
  // Whether it is true at any worker.
  bool any(bool);
  // Returns when all workers have come.
  void barrier();

  // That of another worker, if there is one; for loops that wait. Never blocks.
  virtual std::optional<WorkerFailure> failure() const = 0;
  void check() const;
  // This worker ends with an error: tells the others, whose calls throw then. Whether worker 0 reports it, so that this
  // process need not. Waits for its answer for a few seconds.
  virtual bool fail(int exit_code, const std::string& text) = 0;

 protected:
  // For those who learn them from each other.
  void set_hosts(std::vector<std::string> hosts) { hosts_ = std::move(hosts); }

 private:
  int rank_;
  std::vector<std::string> hosts_;
};

// One process alone: does nothing and costs nothing.
Communicator& solo();

}  // namespace cambium
