// How many processors this process may use.
#pragma once

#include <optional>
#include <string>

namespace cambium {

// Of the affinity mask (taskset, Slurm, cpusets): those that the system may run this process on.
int allowed_processors();
// That mask as text; empty where it cannot be read.
std::string processor_mask();
// The smallest quota of the process's control groups, version 2 (cpu.max) or 1 (cpu.cfs_quota_us), in processors; none
// where nothing limits it. root: the directory that /proc and /sys are read from.
std::optional<double> processor_quota(const std::string& root = "");

// The number of threads where none is asked for: OMP_NUM_THREADS, or else the allowed processors, or fewer where a
// quota gives no more; at least 1. why: in words, such as "2 processors".
struct DefaultThreads {
  int count;
  std::string why;
};
DefaultThreads default_threads();
// Of the processors and the quota alone.
DefaultThreads usable_processors(int allowed, std::optional<double> quota);

}  // namespace cambium
