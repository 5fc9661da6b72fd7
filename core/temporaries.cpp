#include "core/temporaries.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>

namespace cambium {
namespace {

constexpr int kSlots = 64, kLongest = 4095, kDepth = 8;

struct Slot {
  std::atomic<bool> taken = false;
  std::atomic<pid_t> owner = 0;  // 0: the path is not whole
  char path[kLongest + 1] = {};
};
Slot slots[kSlots];

void on_end(int signal) {
  remove_temporaries();
  std::raise(signal);  // the default action: the handler was for one time
}

// What getdents64 writes; the kernel's own header has no type for it.
struct Entry {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[1];
};

void remove_tree(int parent, const char* name, int depth) noexcept {
  if (::unlinkat(parent, name, 0) == 0 || errno != EISDIR || depth == 0) return;
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  alignas(Entry) char buffer[4096];
  for (long n; (n = ::syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0;)
    for (long at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      const char* const inside = buffer + at + offsetof(Entry, name);
      if (std::strcmp(inside, ".") != 0 && std::strcmp(inside, "..") != 0) remove_tree(fd, inside, depth - 1);
      at += entry->length;
    }
  ::close(fd);
  ::unlinkat(parent, name, AT_REMOVEDIR);
}

}  // namespace

void register_temporary(const std::string& path) {
  if (path.size() > size_t(kLongest)) return;
  for (Slot& slot : slots) {
    bool free = false;
    if (!slot.taken.compare_exchange_strong(free, true)) continue;
    std::memcpy(slot.path, path.c_str(), path.size() + 1);
    slot.owner = ::getpid();
    return;
  }
}

void forget_temporary(const std::string& path) {
  for (Slot& slot : slots) {
    if (slot.owner != ::getpid() || path != slot.path) continue;
    slot.owner = 0;
    slot.taken = false;
    return;
  }
}

void remove_temporaries() noexcept {
  const pid_t self = ::getpid();
  for (Slot& slot : slots)
    if (slot.owner == self) remove_tree(AT_FDCWD, slot.path, kDepth);
}

void tidy_up_on_signals() {
  std::signal(SIGXFSZ, SIG_IGN);
  struct sigaction action = {};
  action.sa_handler = on_end;
  action.sa_flags = int(SA_RESETHAND);
  for (const int signal :
       {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGPIPE, SIGXCPU, SIGVTALRM, SIGBUS}) {
    struct sigaction now = {};
    if (sigaction(signal, nullptr, &now) == 0 && now.sa_handler != SIG_IGN) sigaction(signal, &action, nullptr);
  }
}

}  // namespace cambium
