// Running programs: with a time limit, their output captured, signals sent to them while they work.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace cambium::testing {

struct ProcessResult {
  int code = -1;   // of exit; -1: ended by a signal
  int signal = 0;  // that ended it
  std::string out, err;
};

struct ProcessOptions {
  std::string input;                               // standard input
  std::map<std::string, std::string> environment;  // added to this process's own
  int64_t file_size = 0;                           // no file grows beyond it (0: no limit): a full disk
  double seconds = 120;                            // then it is killed: a hang is a failure
};

// A child process with its pipes. wait() ends it; the destructor kills what still runs.
class Process {
 public:
  explicit Process(const std::vector<std::string>& command, ProcessOptions options = {})
      : options_(std::move(options)) {
    int in[2], out[2], err[2];
    if (::pipe2(in, O_CLOEXEC) || ::pipe2(out, O_CLOEXEC) || ::pipe2(err, O_CLOEXEC))
      throw std::runtime_error("pipe failed");
    pid_ = ::fork();
    if (pid_ == 0) run(command, in[0], out[1], err[1]);
    ::close(in[0]), ::close(out[1]), ::close(err[1]);
    in_ = in[1], out_ = out[0], err_ = err[0];
    ::fcntl(in_, F_SETFL, O_NONBLOCK);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    for (const int fd : {in_, out_, err_})
      if (fd >= 0) ::close(fd);
  }

  void kill(int signal) const { ::kill(pid_, signal); }
  // Whether it still runs; does not wait.
  bool running() {
    if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = 0;
    return pid_ > 0;
  }

  ProcessResult wait() {
    pump();
    if (pid_ > 0) ::waitpid(pid_, &status_, 0);
    pid_ = 0;
    ProcessResult result{-1, 0, std::move(text_[0]), std::move(text_[1])};
    if (WIFEXITED(status_)) result.code = WEXITSTATUS(status_);
    if (WIFSIGNALED(status_)) result.signal = WTERMSIG(status_);
    EXPECT_FALSE(late_) << "killed after " << options_.seconds << " s";
    return result;
  }

 private:
  [[noreturn]] void run(const std::vector<std::string>& command, int in, int out, int err) const {
    ::dup2(in, 0), ::dup2(out, 1), ::dup2(err, 2);
    for (const auto& [name, value] : options_.environment) ::setenv(name.c_str(), value.c_str(), 1);
    if (options_.file_size) {
      const rlimit limit{rlim_t(options_.file_size), rlim_t(options_.file_size)};
      ::setrlimit(RLIMIT_FSIZE, &limit);
      ::signal(SIGXFSZ, SIG_IGN);
    }
    std::vector<char*> arguments;
    for (const std::string& a : command) arguments.push_back(const_cast<char*>(a.c_str()));
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }

  // Writes the input and reads both outputs until they are closed, or the time is over.
  void pump() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(options_.seconds);
    size_t written = 0;
    int open = 2;
    while (open > 0) {
      if (in_ >= 0 && written == options_.input.size()) ::close(in_), in_ = -1;
      pollfd fds[3] = {{out_, POLLIN, 0}, {err_, POLLIN, 0}, {in_, POLLOUT, 0}};
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now()).count();
      if (left <= 0 || ::poll(fds, 3, int(left)) == 0) {
        late_ = true;
        if (pid_ > 0) ::kill(pid_, SIGKILL);
        return;
      }
      if (fds[2].revents) {
        const ssize_t n = ::write(in_, options_.input.data() + written, options_.input.size() - written);
        if (n >= 0) written += size_t(n);
        else written = options_.input.size();  // it does not read
      }
      for (int i = 0; i < 2; ++i) {
        if (!fds[i].revents) continue;
        char buffer[4096];
        const ssize_t n = ::read(fds[i].fd, buffer, sizeof buffer);
        if (n > 0) text_[i].append(buffer, size_t(n));
        else ::close(fds[i].fd), (i ? err_ : out_) = -1, --open;
      }
    }
  }

  ProcessOptions options_;
  pid_t pid_ = 0;
  int in_ = -1, out_ = -1, err_ = -1, status_ = 0;
  bool late_ = false;
  std::string text_[2];
};

inline ProcessResult run_process(const std::vector<std::string>& command, ProcessOptions options = {}) {
  return Process(command, std::move(options)).wait();
}

}  // namespace cambium::testing
