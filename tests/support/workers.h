// Running `cambium` as several workers: by TCP, a process each, or below mpirun.
#pragma once

#include <memory>

#include "core/workers/sockets.h"
#include "tests/support/command.h"

namespace cambium::testing {

inline constexpr const char* kMpirun = "/usr/bin/mpirun";

// Why tests with MPI cannot run here; empty where they can.
inline std::string no_mpi() {
  if (!file_exists(kMpirun)) return "there is no mpirun here (package openmpi-bin)";
  const std::string program = program_path("cambium");
  const bool built = file_exists(program.substr(0, program.rfind("/bin/")) + "/lib/libcambium_mpi.so");
  return built ? "" : "this build has no MPI (package libopenmpi-dev)";
}
// One worker that differs from the others.
struct Odd {
  int rank = -1;
  std::vector<std::string> arguments = {};
  int64_t file_size = 0;
};

class WorkersCommand : public Command {
 protected:
  // Workers by TCP. one: arguments that one of them has instead; limited: its files may not grow beyond so many bytes.
  struct Job {
    std::vector<std::unique_ptr<Process>> workers;

    std::vector<ProcessResult> wait() {
      std::vector<ProcessResult> all;
      for (const auto& w : workers) all.push_back(w->wait());
      return all;
    }
  };
  Job start(int size, const std::vector<std::string>& arguments, const Odd& odd = {}, int deadline = 20) const {
    Job job;
    const std::string port = std::to_string(Listener(0, true).endpoint().port);
    for (int rank = 0; rank < size; ++rank) {
      ProcessOptions given{.environment = {{"WORLD_SIZE", std::to_string(size)},
                                           {"RANK", std::to_string(rank)},
                                           {"MASTER_ADDR", "127.0.0.1"},
                                           {"MASTER_PORT", port},
                                           {"CAMBIUM_WORKER_DEADLINE", std::to_string(deadline)}}};
      if (rank == odd.rank) given.file_size = odd.file_size;
      const bool other = rank == odd.rank && !odd.arguments.empty();
      job.workers.push_back(
          std::make_unique<Process>(command(other ? odd.arguments : arguments), options(std::move(given))));
    }
    return job;
  }
  // Runs to a good end; worker 0 alone speaks.
  void good_job(int size, const std::vector<std::string>& arguments) const {
    const auto results = start(size, arguments).wait();
    for (size_t r = 0; r < results.size(); ++r) {
      EXPECT_EQ(results[r].code, 0) << "worker " << r << "\n" << said(arguments, results[r]);
      if (r == 0) continue;
      EXPECT_EQ(results[r].out + results[r].err, "") << r;
    }
  }
  ProcessResult mpirun(int size, const std::vector<std::string>& arguments) const {
    std::vector<std::string> all{kMpirun, "--allow-run-as-root", "--oversubscribe", "-n", std::to_string(size)};
    const auto own = command(arguments);
    all.insert(all.end(), own.begin(), own.end());
    return run_process(all, options());
  }

  // But for times.
  void expect_same_run(const std::string& seen, const std::string& expected) const {
    for (const char* file : {"/checkpoint.h5", "/tuner.h5"})
      EXPECT_TRUE(read_text_file(folder / seen + file) == read_text_file(folder / expected + file)) << seen << file;
    EXPECT_EQ(log_of(seen), log_of(expected)) << seen;
  }
  std::vector<nlohmann::json> log_of(const std::string& run) const {
    std::vector<nlohmann::json> lines;
    std::istringstream in(read_text_file(folder / run + "/log.jsonl"));
    for (std::string line; std::getline(in, line);) {
      lines.push_back(nlohmann::json::parse(line));
      lines.back().erase("tok_s");
    }
    return lines;
  }
  void wait_for(const std::string& file) const {
    for (const SteadyTime until = in_seconds(60); !file_exists(folder / file) && poll_time(until, 1) > 0;)
      ::usleep(20000);
    EXPECT_TRUE(file_exists(folder / file));
  }
};

}  // namespace cambium::testing
