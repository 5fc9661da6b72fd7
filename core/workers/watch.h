// The watch over a job's workers: each tells worker 0 that it lives, a few times within the deadline, and is told the
// same; who is silent for longer, or whose connection breaks, has failed, and all are told who it was and why. It works
// beside what the workers do, whoever carries their data, and knows a slow worker from one that is stopped.
#pragma once

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/communicator.h"
#include "core/workers/sockets.h"

namespace cambium {

class Watch {
 public:
  // links: to each other worker at worker 0, to worker 0 elsewhere. deadline: seconds.
  Watch(int rank, std::vector<std::string> hosts, std::map<int, Descriptor> links, double deadline);
  // Says goodbye: what ends later at other workers is no failure of this one.
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  std::optional<WorkerFailure> failure() const;
  // As Communicator::fail; at worker 0 also whether what another told has been printed meanwhile.
  bool fail(int exit_code, const std::string& text);
  // What a broken connection to a worker means: waits a moment for the watch to say it, and says it itself otherwise.
  [[noreturn]] void lost(int rank);

 private:
  struct Link {
    Descriptor fd;
    std::string read;
    SteadyTime heard{};
    bool parted = false;  // it said goodbye, or is lost
  };
  void run();
  // Waits for what comes, at most until `until`, and reads it.
  void listen(SteadyTime until);
  void hear(int rank, Link&);
  void understand(int rank, Link&, const Frame&);
  void judge_silence(SteadyTime now);
  void tell(Link&, const Frame&);
  void tell_all(const Frame&);
  // The first failure counts.
  void set_failure(const WorkerFailure&);
  void acknowledge();
  void end_if_stuck();
  std::string name_of(int rank) const { return worker_name(rank, hosts_); }

  const int rank_;
  const std::vector<std::string> hosts_;
  const double deadline_, pause_;  // pause: between two signs of life
  mutable std::mutex mutex_;       // of all below
  std::map<int, Link> links_;
  std::optional<WorkerFailure> failure_;
  SteadyTime failed_at_{};
  bool own_failure_ = false, reported_ = false;
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

}  // namespace cambium
