// Workers that are threads of the test's process.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "core/communicator.h"

namespace cambium::testing {

class ThreadWorkers {
 public:
  explicit ThreadWorkers(int size) : size_(size) {}

  // Runs `work` as each worker at once; throws what the first that failed threw.
  void run(const std::function<void(Communicator&)>& work) {
    std::vector<std::thread> threads;
    for (int rank = 0; rank < size_; ++rank)
      threads.emplace_back([&, rank] {
        Worker worker(*this, rank);
        try {
          work(worker);
        } catch (const WorkerFailed&) {  // told
        } catch (const std::exception& error) {
          worker.fail(1, error.what());
          const std::lock_guard lock(mutex_);
          if (!error_) error_ = std::current_exception();
        }
      });
    for (std::thread& t : threads) t.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  class Worker : public Communicator {
   public:
    Worker(ThreadWorkers& all, int rank)
        : Communicator(rank, std::vector<std::string>(size_t(all.size_), "a thread")), all_(all) {}
    std::string description() const override { return "threads"; }

    void exchange(int partner, std::span<const std::byte> out, std::span<std::byte> in) override {
      std::unique_lock lock(all_.mutex_);
      auto& to = all_.mail_[{rank(), partner}];
      to.insert(to.end(), out.begin(), out.end());
      all_.changed_.notify_all();
      auto& from = all_.mail_[{partner, rank()}];
      all_.changed_.wait(lock, [&] { return all_.failure_ || from.size() >= in.size(); });
      if (all_.failure_) throw WorkerFailed(*all_.failure_);
      std::copy_n(from.begin(), in.size(), in.begin());
      from.erase(from.begin(), from.begin() + std::ptrdiff_t(in.size()));
    }
    std::optional<WorkerFailure> failure() const override {
      const std::lock_guard lock(all_.mutex_);
      return all_.failure_;
    }
    bool fail(int exit_code, const std::string& what) override {
      const std::lock_guard lock(all_.mutex_);
      if (!all_.failure_) all_.failure_ = {rank(), exit_code, name_of(rank()) + ": " + what};
      all_.changed_.notify_all();
      return rank() != 0;
    }

   private:
    ThreadWorkers& all_;
  };

  const int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<int, int>, std::deque<std::byte>> mail_;
  std::optional<WorkerFailure> failure_;
  std::exception_ptr error_;
};

}  // namespace cambium::testing
