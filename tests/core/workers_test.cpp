// Workers: what they tell each other, how they meet, and how they fail.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/workers/launch.h"
#include "core/workers/tcp_communicator.h"
#include "core/workers/watch.h"
#include "tests/support/process.h"
#include "tests/support/thread_workers.h"

namespace cambium::testing {
namespace {

constexpr double kDeadline = 20;  // seconds; no test waits for it

// Names for environment variables while a test runs.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& values = {}) {
    for (const char* name :
         {"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PMI_SIZE", "SLURM_STEP_NUM_TASKS",
          "SLURM_PROCID", "SLURM_JOB_ID", "WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT", "CAMBIUM_WORKER_DEADLINE",
          "TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"}) {
      if (const char* old = std::getenv(name)) before_[name] = old;
      ::unsetenv(name);
    }
    for (const auto& [name, value] : values) ::setenv(name.c_str(), value.c_str(), 1), names_.push_back(name);
  }
  ~Environment() {
    for (const std::string& name : names_) ::unsetenv(name.c_str());
    for (const auto& [name, value] : before_) ::setenv(name.c_str(), value.c_str(), 1);
  }

 private:
  std::vector<std::string> names_;
  std::map<std::string, std::string> before_;
};

std::span<const std::byte> bytes(const std::vector<int>& v) { return std::as_bytes(std::span(v)); }
std::span<std::byte> bytes(std::vector<int>& v) { return std::as_writable_bytes(std::span(v)); }

// What a job does with a communicator, checked at every worker.
void check_calls(Communicator& c) {
  const int size = c.size();
  EXPECT_EQ(c.local_rank(), c.rank());  // all on one host
  std::vector<int> from_first{c.rank() == 0 ? 17 : 0, c.rank() == 0 ? -4 : 0};
  c.broadcast(bytes(from_first));
  EXPECT_EQ(from_first, (std::vector<int>{17, -4}));
  std::string sentence = c.is_first() ? std::string(100000, 'x') : "";
  c.broadcast(sentence);
  EXPECT_EQ(sentence, std::string(100000, 'x'));
  std::vector<std::string> own;
  for (int r = 0; r < size; ++r) own.push_back(std::string(size_t(r) * 3, char('a' + r)));
  const auto gathered = c.gather(own[size_t(c.rank())]);
  EXPECT_EQ(gathered, c.is_first() ? own : std::vector<std::string>());
  EXPECT_EQ(c.gather_to_all(own[size_t(c.rank())]), own);
  EXPECT_FALSE(c.any(false));
  EXPECT_TRUE(c.any(c.rank() == size - 1));
  EXPECT_TRUE(c.any(true));
  for (int k = 1; k < size; k *= 2) {
    const int partner = c.rank() ^ k;
    if (partner >= size) continue;
    // Much at once in both directions: nobody waits for the other to read first. Sizes differ between directions.
    const auto count = [](int rank) { return size_t(300000 + 1000 * rank); };
    const std::vector<int> out(count(c.rank()), c.rank());
    std::vector<int> in(count(partner));
    c.exchange(partner, bytes(out), bytes(in));
    EXPECT_EQ(in, std::vector<int>(count(partner), partner));
  }
  c.barrier();
  EXPECT_FALSE(c.failure());
  c.check();
}

class WorkersOf : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, WorkersOf, ::testing::Values(1, 2, 3, 4, 5, 8));

TEST_P(WorkersOf, ThreadsHearEachOther) { ThreadWorkers(GetParam()).run(check_calls); }

int free_port() { return Listener(0, true).endpoint().port; }

// Workers by TCP, each a thread of this process.
void run_by_tcp(int size, const std::function<void(Communicator&)>& work, int port = free_port(),
                double deadline = kDeadline) {
  std::vector<std::thread> threads;
  for (int rank = 0; rank < size; ++rank)
    threads.emplace_back([=] {
      const auto c = join_by_tcp(
          {.by = Launch::By::tcp, .rank = rank, .size = size, .master = "127.0.0.1", .port = port, .job = "j"},
          deadline);
      work(*c);
    });
  for (std::thread& t : threads) t.join();
}

TEST_P(WorkersOf, TcpHearEachOther) {
  if (GetParam() > 1) run_by_tcp(GetParam(), check_calls);
}

TEST(Workers, OneProcessIsAlone) {
  check_calls(solo());
  EXPECT_THROW(solo().exchange(1, {}, {}), Error);
  Environment none;
  EXPECT_EQ(Workers().communicator().size(), 1);
}

TEST(Workers, AFailureReachesAllWithRankHostAndReason) {
  std::atomic<int> told = 0;
  run_by_tcp(4, [&](Communicator& c) {
    if (c.rank() == 2) {
      // Worker 0 reports it, which lets this one be silent.
      EXPECT_TRUE(c.fail(2, "the disk is full"));
      return;
    }
    try {
      for (;;) c.barrier();
    } catch (const WorkerFailed& failed) {
      ++told;
      EXPECT_EQ(failed.failure().rank, 2);
      EXPECT_EQ(failed.exit_code(), 2);
      EXPECT_EQ(std::string(failed.what()), "worker 2 of 4 on " + host_name() + ": the disk is full");
      // The first to say so at worker 0 prints it; the others are silent.
      const bool silent = c.fail(failed.exit_code(), failed.what());
      EXPECT_TRUE(silent || c.is_first());
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
    }
  });
  EXPECT_EQ(told, 3);
}

TEST(Workers, OneThatLeavesIsMissed) {
  run_by_tcp(2, [&](Communicator& c) {
    if (c.rank() == 1) return;  // with a goodbye: it thinks that all is done
    try {
      for (;;) c.barrier();
    } catch (const WorkerFailed& failed) {
      EXPECT_NE(std::string(failed.what()).find("worker 1 of 2 on "), std::string::npos) << failed.what();
    }
  });
}

std::string connect_and_send(int port, const std::string& what) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET, to.sin_port = htons(uint16_t(port)), to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  while (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  send_all(fd, what, in_seconds(5));
  char answer[1000];
  const ssize_t n = ::recv(fd, answer, sizeof answer, 0);
  ::close(fd);
  return std::string(answer, size_t(std::max<ssize_t>(n, 0)));
}

TEST(Workers, StrangersAtTheDoorAreSentAway) {
  const int port = free_port();
  std::thread strangers([=] {
    EXPECT_EQ(connect_and_send(port, "GET / HTTP/1.1\r\nHost: here\r\n\r\n"), "");
    EXPECT_EQ(connect_and_send(port, packed({'h', "{\"key\": \"another job\", \"rank\": 1}"})), "");
    EXPECT_EQ(connect_and_send(port, packed({'h', "[1, 2"})), "");
    EXPECT_EQ(connect_and_send(port, packed({'x', ""})), "");
    const auto c = join_by_tcp(
        {.by = Launch::By::tcp, .rank = 1, .size = 2, .master = "127.0.0.1", .port = port, .job = "j"}, kDeadline);
    check_calls(*c);
  });
  const auto c = join_by_tcp(
      {.by = Launch::By::tcp, .rank = 0, .size = 2, .master = "127.0.0.1", .port = port, .job = "j"}, kDeadline);
  check_calls(*c);
  strangers.join();
}

std::string why_not(const Launch& launch, double deadline = kDeadline) {
  try {
    join_by_tcp(launch, deadline);
  } catch (const Error& error) {
    return error.what();
  }
  return "joined";
}

TEST(Workers, ThoseThatDoNotFitAreNamed) {
  const Launch first{.by = Launch::By::tcp, .rank = 0, .size = 2, .master = "127.0.0.1", .port = free_port()};
  // Nobody comes.
  EXPECT_EQ(why_not(first, 0.2), "worker 1 did not come in time");
  Launch other = first;
  other.rank = 1;
  EXPECT_NE(why_not(other, 0.2).find("worker 1 of 2 on " + host_name() + " cannot join worker 0: 127.0.0.1 port"),
            std::string::npos);
  // Another size, the same rank.
  for (const auto& [rank, size, part] :
       {std::tuple{1, 4, "worker 1 was started as one of 4 workers, worker 0 as one of 2"},
        {0, 2, "a worker has rank 0 of 2, as worker 0 has"}}) {
    std::string at_first;
    std::thread master([&] { at_first = why_not(first); });
    const nlohmann::json hello = {{"key", ""},
                                  {"rank", rank},
                                  {"size", size},
                                  {"host", "h"},
                                  {"endpoint", {{"addresses", {"127.0.0.1"}}, {"port", 1}}}};
    try {
      join({{"127.0.0.1"}, first.port}, hello, in_seconds(kDeadline));
      ADD_FAILURE() << "joined";
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()), part);
    }
    master.join();
    EXPECT_EQ(at_first, part);
  }
  const Listener taken(0, true);
  other = first;
  other.port = taken.endpoint().port;
  EXPECT_NE(why_not(other).find("Another job may use it"), std::string::npos);
}

// Worker 0's watch over a worker 1 that is the test.
struct Watched {
  int mine = -1;
  std::unique_ptr<Watch> watch;

  explicit Watched(double deadline) {
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    mine = pair[0];
    std::map<int, Descriptor> links;
    links.emplace(1, Descriptor(pair[1]));
    watch = std::make_unique<Watch>(0, std::vector<std::string>{"north", "south"}, std::move(links), deadline);
  }
  ~Watched() {
    if (mine >= 0) ::close(mine);
  }
  std::string reason() const {
    const SteadyTime until = in_seconds(10);
    while (!watch->failure() && poll_time(until, 1) > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return watch->failure() ? watch->failure()->text : "none";
  }
};

TEST(Watch, ASilentWorkerHasFailed) {
  Watched w(0.4);
  EXPECT_EQ(w.reason(),
            "worker 1 of 2 on south gives no sign of life for 0.4 s: it is stopped, or its machine or network failed");
}

TEST(Watch, ASlowWorkerThatGivesSignsHasNot) {
  Watched w(1);
  for (int i = 0; i < 50; ++i) {
    send_all(w.mine, packed({'l', ""}), in_seconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
    ASSERT_FALSE(w.watch->failure()) << w.watch->failure()->text;
  }
}

TEST(Watch, AClosedConnectionIsAFailureUnlessItSaidGoodbye) {
  Watched killed(kDeadline);
  ::close(std::exchange(killed.mine, -1));
  EXPECT_EQ(killed.reason(), "worker 1 of 2 on south is gone: it was killed, or its machine or network failed");
  Watched parted(kDeadline);
  send_all(parted.mine, packed({'g', ""}), in_seconds(1));
  ::close(std::exchange(parted.mine, -1));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_FALSE(parted.watch->failure());
}

TEST(Watch, WhatNoWorkerSendsIsAFailure) {
  Watched w(kDeadline);
  send_all(w.mine, "GET / HTTP/1.1\r\n\r\n", in_seconds(1));
  EXPECT_EQ(w.reason(), "worker 1 of 2 on south sends what no worker sends");
  Watched damaged(kDeadline);
  send_all(damaged.mine, packed({'f', "{\"rank\": \"one\"}"}), in_seconds(1));
  send_all(damaged.mine, packed({'f', R"({"rank": 1, "exit_code": 2, "text": "it broke"})"}), in_seconds(1));
  EXPECT_EQ(damaged.reason(), "it broke");
}

TEST(Launch, TakesWhatLaunchersSay) {
  {
    Environment e({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}, {"WORLD_SIZE", "9"}});
    EXPECT_EQ(launched().by, Launch::By::mpi);
    EXPECT_EQ(launched().rank, 3);
    EXPECT_EQ(launched().size, 4);
  }
  {
    Environment e({{"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "1"}});  // srun without --mpi
    EXPECT_EQ(launched().by, Launch::By::itself);
    Environment pmix({{"SLURM_STEP_NUM_TASKS", "2"}, {"SLURM_PROCID", "1"}, {"PMIX_RANK", "1"}});
    EXPECT_EQ(launched().by, Launch::By::mpi);
  }
  Environment e(
      {{"WORLD_SIZE", "2"}, {"RANK", "1"}, {"MASTER_ADDR", "node7"}, {"MASTER_PORT", "29500"}, {"SLURM_JOB_ID", "12"}});
  const Launch l = launched();
  EXPECT_EQ(l.by, Launch::By::tcp);
  EXPECT_EQ(std::tuple(l.rank, l.size, l.master, l.port, l.job), std::tuple(1, 2, "node7", 29500, "12"));
  ::setenv("TORCHELASTIC_USE_AGENT_STORE", "True", 1);
  EXPECT_EQ(launched().port, 29501);
  ::unsetenv("TORCHELASTIC_USE_AGENT_STORE");
  ::setenv("WORLD_SIZE", "1", 1);
  EXPECT_EQ(launched().by, Launch::By::itself);
}

TEST(Launch, RefusesWhatNoLauncherSays) {
  const std::map<std::string, std::string> good = {
      {"WORLD_SIZE", "2"}, {"RANK", "1"}, {"MASTER_ADDR", "node7"}, {"MASTER_PORT", "29500"}};
  for (const auto& [name, value, part] : {std::tuple{"WORLD_SIZE", "two", "WORLD_SIZE=two is no number from 1 to"},
                                          {"WORLD_SIZE", "-2", "WORLD_SIZE=-2"},
                                          {"WORLD_SIZE", "0", "WORLD_SIZE=0"},
                                          {"WORLD_SIZE", "99999999999999999999", "is no number"},
                                          {"WORLD_SIZE", "2 ", "WORLD_SIZE=2 "},
                                          {"RANK", "2", "RANK=2 is no number from 0 to 1"},
                                          {"RANK", "-1", "RANK=-1"},
                                          {"RANK", "", "there is no RANK"},
                                          {"MASTER_ADDR", "", "there is no MASTER_ADDR"},
                                          {"MASTER_PORT", "", "there is no MASTER_PORT"},
                                          {"MASTER_PORT", "0", "MASTER_PORT=0"},
                                          {"MASTER_PORT", "65536", "MASTER_PORT=65536"},
                                          {"OMPI_COMM_WORLD_SIZE", "x", "OMPI_COMM_WORLD_SIZE=x"},
                                          {"OMPI_COMM_WORLD_SIZE", "4", "there is no OMPI_COMM_WORLD_RANK"}}) {
    auto values = good;
    values[name] = value;
    Environment e(values);
    try {
      launched();
      ADD_FAILURE() << name << "=" << value;
    } catch (const InputError& error) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
  for (const char* value : {"0", "3601", "1e3", "soon"}) {
    Environment e(std::map<std::string, std::string>{{"CAMBIUM_WORKER_DEADLINE", value}});
    EXPECT_THROW(worker_deadline(), InputError) << value;
  }
  Environment e;
  EXPECT_EQ(worker_deadline(), 30);
}

// As one of several processes of a launcher, which the next test is.
TEST(Workers, DISABLED_OfALauncherHearEachOther) {
  ASSERT_TRUE(std::getenv("CAMBIUM_TEST_WORKERS")) << "runs below a launcher";
  Workers workers;
  EXPECT_EQ(workers.communicator().size(), std::atoi(std::getenv("CAMBIUM_TEST_WORKERS")));
  check_calls(workers.communicator());
  std::printf("%s\n", workers.communicator().description().c_str());
}

std::string own_program() {
  char path[4096];
  const ssize_t n = ::readlink("/proc/self/exe", path, sizeof path);
  return std::string(path, size_t(n));
}

TEST(Workers, ByMpirun) {
  if (!file_exists("/usr/bin/mpirun")) GTEST_SKIP() << "there is no mpirun here (package openmpi-bin)";
  if (!file_exists(own_program().substr(0, own_program().rfind("/bin/")) + "/lib/libcambium_mpi.so"))
    GTEST_SKIP() << "this build has no MPI (package libopenmpi-dev)";
  const ProcessResult r =
      run_process({"/usr/bin/mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "4", own_program(),
                   "--gtest_filter=*OfALauncherHearEachOther", "--gtest_also_run_disabled_tests"},
                  {.environment = {{"CAMBIUM_TEST_WORKERS", "4"}}});
  EXPECT_EQ(r.code, 0) << r.out << r.err;
  EXPECT_NE(r.out.find("Open MPI"), std::string::npos) << r.out;
}

}  // namespace
}  // namespace cambium::testing
