// Reading affinity masks and control groups.
#include "core/processors.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "core/error.h"

namespace cambium {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// "150000 100000" or "max 100000": quota and period in microseconds.
std::optional<double> quota_of(const std::string& text) {
  std::istringstream words(text);
  double quota = 0, period = 0;
  if (!(words >> quota >> period) || quota <= 0 || period <= 0) return {};
  return quota / period;
}

// Of the group `path` below `mount` and of the groups around it.
template <class Read>
std::optional<double> smallest(const std::string& mount, std::string path, const Read& read) {
  std::optional<double> least;
  for (;;) {
    if (const auto q = read(mount + path); q && (!least || *q < *least)) least = q;
    if (path.empty() || path == "/") return least;
    path.resize(path.rfind('/') == path.npos ? 0 : path.rfind('/'));
  }
}

std::optional<double> quota_v2(const std::string& group) { return quota_of(first_line(group + "/cpu.max")); }
std::optional<double> quota_v1(const std::string& group) {
  return quota_of(first_line(group + "/cpu.cfs_quota_us") + " " + first_line(group + "/cpu.cfs_period_us"));
}

bool names_cpu(const std::string& controllers) {
  std::istringstream list(controllers);
  for (std::string c; std::getline(list, c, ',');)
    if (c == "cpu") return true;
  return false;
}

}  // namespace

namespace {

// Calls f(set, its size in bytes) with the affinity mask; whether it could be read.
template <class F>
bool with_mask(const F& f) {
  for (int size = 1024; size <= 1 << 20; size *= 2) {
    cpu_set_t* set = CPU_ALLOC(size_t(size));
    if (!set) break;
    const bool done = sched_getaffinity(0, CPU_ALLOC_SIZE(size_t(size)), set) == 0;
    if (done) f(set, CPU_ALLOC_SIZE(size_t(size)));
    CPU_FREE(set);
    if (done) return true;
    if (errno != EINVAL) break;  // EINVAL: the machine has more processors than the set has room for
  }
  return false;
}

}  // namespace

int allowed_processors() {
  int count = 0;
  with_mask([&](const cpu_set_t* set, size_t bytes) { count = CPU_COUNT_S(bytes, set); });
  return std::max(1, count);
}

std::string processor_mask() {
  std::string mask;
  with_mask([&](const cpu_set_t* set, size_t bytes) {
    for (size_t i = 0; i < bytes * 8; ++i)
      if (CPU_ISSET_S(i, bytes, set)) mask += (mask.empty() ? "" : ",") + std::to_string(i);
  });
  return mask;
}

std::optional<double> processor_quota(const std::string& root) {
  std::ifstream groups(root + "/proc/self/cgroup");
  std::optional<double> least;
  const auto take = [&](const std::optional<double>& q) {
    if (q && (!least || *q < *least)) least = q;
  };
  const std::string mount = root + "/sys/fs/cgroup";
  for (std::string line; std::getline(groups, line);) {  // number:controllers:path
    const size_t first = line.find(':'), second = line.find(':', first == line.npos ? first : first + 1);
    if (second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty())
      for (const char* place : {"", "/unified"}) take(smallest(mount + place, path, quota_v2));
    if (names_cpu(controllers))
      for (const std::string& place : {std::string("cpu"), controllers})
        take(smallest(mount + "/" + place, path, quota_v1));
  }
  return least;
}

DefaultThreads usable_processors(int allowed, std::optional<double> quota) {
  const std::string all = text(allowed, allowed == 1 ? " processor" : " processors");
  if (!quota || *quota >= allowed) return {allowed, all};
  char share[32];
  std::snprintf(share, sizeof share, "%.3g", *quota);
  return {std::max(1, int(std::ceil(*quota - 1e-9))), text("a quota of ", share, " of ", all)};
}

DefaultThreads default_threads() {
  if (const char* value = std::getenv("OMP_NUM_THREADS")) {
    char* end = nullptr;
    const long count = std::strtol(value, &end, 10);
    if (end != value && (*end == 0 || *end == ',') && count >= 1 && count <= 4096)
      return {int(count), text("OMP_NUM_THREADS=", value)};
  }
  return usable_processors(allowed_processors(), processor_quota());
}

}  // namespace cambium
