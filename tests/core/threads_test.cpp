// The threads of CPU kernels: each piece of work is done once, whoever calls, and nobody waits awake.
#include "core/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include "core/cpu/parallel.h"
#include "core/error.h"

namespace cambium::testing {
namespace {

class Threads : public ::testing::Test {
 protected:
  ~Threads() override { set_threads(before_); }
  int before_ = threads();
};

TEST_F(Threads, EachPieceIsDoneOnce) {
  for (const int count : {1, 2, 3, 8, 2})
    for (const int64_t pieces : {0, 1, 2, 63, 64, 65, 1000}) {
      set_threads(count);
      for (int round = 0; round < 50; ++round) {
        std::vector<std::atomic<int>> tasks(static_cast<size_t>(pieces)), rows(static_cast<size_t>(pieces));
        cpu::parallel_tasks(pieces, [&](int64_t n) { ++tasks[size_t(n)]; });
        cpu::parallel_rows(pieces, [&](int64_t n) { ++rows[size_t(n)]; });
        for (int64_t n = 0; n < pieces; ++n) ASSERT_TRUE(tasks[size_t(n)] == 1 && rows[size_t(n)] == 1) << n;
      }
    }
}

// A thread that is held up holds up its own piece: the others are done meanwhile.
TEST_F(Threads, OthersDoTheWorkOfOneThatIsHeldUp) {
  set_threads(2);
  std::atomic<int> done{0};
  cpu::parallel_tasks(100, [&](int64_t n) {
    if (n == 0)
      while (done < 99) std::this_thread::yield();
    else ++done;
  });
  EXPECT_EQ(done, 99);
}

TEST_F(Threads, WorkInsideOfWorkAndOfSeveralCallers) {
  set_threads(3);
  std::atomic<int> count{0};
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round)
        cpu::parallel_tasks(5, [&](int64_t) { cpu::parallel_tasks(3, [&](int64_t) { ++count; }); });
    });
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(count, 4 * 200 * 5 * 3);
}

// Whichever thread meets it: the caller gets the exception, and the threads are there for the next job.
TEST_F(Threads, AnExceptionIsTheCallers) {
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    for (int64_t bad = 0; bad < 100; bad += 9) {
      const auto throwing = [&](int64_t n) { check_input(n != bad, "piece ", n); };
      EXPECT_THROW(cpu::parallel_tasks(100, throwing), InputError);
      EXPECT_THROW(cpu::parallel_rows(100, throwing), InputError);
      std::atomic<int> done{0};
      cpu::parallel_tasks(100, [&](int64_t) { ++done; });
      EXPECT_EQ(done, 100);
    }
    EXPECT_THROW(cpu::parallel_tasks(100, [](int64_t n) { CHECK(n < 0, "all of them throw"); }), Error);
  }
}

TEST_F(Threads, SleepWhileThereIsNoWork) {
  set_threads(4);
  cpu::parallel_tasks(100, [](int64_t) {});
  // Sooner or later all threads but this one sleep; if one spins, this never ends.
  const auto others_sleep = [] {
    int awake = 0;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::ifstream stat(task.path() / "stat");
      std::string line;
      std::getline(stat, line);
      awake += line.substr(line.rfind(')') + 2, 1) == "R";
    }
    return awake <= 1;
  };
  for (int in_a_row = 0; in_a_row < 3;) {
    in_a_row = others_sleep() ? in_a_row + 1 : 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace
}  // namespace cambium::testing
