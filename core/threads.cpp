// The threads of CPU kernels. Work comes in more pieces than threads, which take the next one when they are done: on a
// machine that other work shares, a thread that is not running holds up one piece and not an equal share. A thread
// without work looks for some for kSpin and then sleeps: it takes no processor from the one that it waits for.
#include "core/threads.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "core/cpu/parallel.h"
#include "core/error.h"
#include "core/processors.h"

namespace cambium {
namespace {

constexpr std::chrono::microseconds kSpin(50);

using Word = std::atomic<uint32_t>;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits while word has this value, awake for kSpin, then asleep with `sleepers` counting it.
void wait_while(Word& word, uint32_t value, Word& sleepers) {
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 16; ++i) {
      if (word.load() != value) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() - start < kSpin);
  ++sleepers;
  while (word.load() == value)
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
  --sleepers;
}

void wake(Word& word, const Word& sleepers) {
  if (sleepers.load() > 0)
    syscall(SYS_futex, reinterpret_cast<uint32_t*>(&word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

thread_local bool inside = false;  // of a call of run_parallel

class Pool {
 public:
  // Never destroyed: its threads run until the process ends.
  static Pool& get() {
    static Pool* pool = new Pool();
    return *pool;
  }

  std::atomic<int> threads{default_threads().count};

  void run(int64_t count, void (*call)(const void*, int64_t), const void* context) {
    std::unique_lock<std::mutex> mine(owner_, std::defer_lock);
    if (inside || threads.load() <= 1 || !mine.try_lock()) {
      for (int64_t n = 0; n < count; ++n) call(context, n);
      return;
    }
    const int helpers = int(std::min<int64_t>(threads.load() - 1, count - 1));
    start(helpers);
    call_ = call, context_ = context, count_ = count, next_ = 0, helpers_ = helpers;
    if (++job_ == 0) ++job_;  // 0: none
    open_ = job_;
    newest_ = job_;
    wake(newest_, idle_);
    inside = true;
    work();
    inside = false;
    // A helper that has not come by now finds the job closed; only those at work are waited for.
    open_ = 0;
    for (uint32_t at_work; (at_work = active_.load()) > 0;) wait_while(active_, at_work, waiting_);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  // Takes pieces until there are none. One that throws is the last: its exception is the caller's.
  void work() {
    try {
      for (int64_t n; (n = next_.fetch_add(1)) < count_;) call_(context_, n);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(failing_);
      if (!failure_) failure_ = std::current_exception();
      next_ = count_;
    }
  }

  void start(int helpers) {
    for (; started_ < helpers; ++started_) try {
        std::thread([this, i = started_] { help(i); }).detach();
      } catch (const std::system_error&) {
        return;  // no more threads to be had: those that there are do the work
      }
  }

  [[noreturn]] void help(int index) {
    inside = true;
    for (uint32_t seen = 0;;) {
      wait_while(newest_, seen, idle_);
      seen = newest_.load();
      if (index >= helpers_.load()) continue;
      ++active_;
      if (open_.load() == seen) work();
      if (--active_ == 0) wake(active_, waiting_);
    }
  }

  std::mutex owner_;
  int started_ = 0;
  // The job: written while it is closed and nobody is at work, read by helpers that saw it open after they counted
  // themselves as active.
  void (*call_)(const void*, int64_t) = nullptr;
  const void* context_ = nullptr;
  int64_t count_ = 0;
  uint32_t job_ = 0;
  std::mutex failing_;
  std::exception_ptr failure_;
  std::atomic<int> helpers_{0};
  alignas(64) std::atomic<int64_t> next_{0};
  alignas(64) Word newest_{0};
  Word open_{0}, idle_{0};
  alignas(64) Word active_{0};
  Word waiting_{0};
};

}  // namespace

void run_parallel(int64_t count, void (*call)(const void*, int64_t), const void* context) {
  Pool::get().run(count, call, context);
}

void set_threads(int count) {
  check_input(count >= 1 && count <= 4096, "--threads ", count, ": must be from 1 to 4096");
  Pool::get().threads = count;
}

int threads() { return Pool::get().threads; }

}  // namespace cambium
