#include "core/signals.h"

#include <atomic>
#include <csignal>

#include "core/temporaries.h"

namespace cambium {
namespace {

std::atomic<int> caught = 0;
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int signal) {
  if (signal == SIGINT && caught == SIGINT) {
    remove_temporaries();
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
  caught = signal;
}

bool is_ignored(int signal) {
  struct sigaction now = {};
  return sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace

void catch_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaction(signal, &action, nullptr);
  if (!is_ignored(SIGHUP)) sigaction(SIGHUP, &action, nullptr);
}

int stop_signal() { return caught; }

}  // namespace cambium
