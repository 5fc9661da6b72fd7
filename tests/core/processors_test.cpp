// How many processors a process may use: the affinity mask, and the quotas of control groups.
#include "core/processors.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/files.h"

namespace cambium::testing {
namespace {

TEST(Processors, AreThoseOfTheAffinityMask) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  EXPECT_EQ(allowed_processors(), CPU_COUNT(&before));
  CPU_ZERO(&one);
  for (int i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &before)) {
      CPU_SET(i, &one);
      break;
    }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(allowed_processors(), 1);
  sched_setaffinity(0, sizeof before, &before);
}

TEST(Processors, QuotaOfControlGroups) {
  const TemporaryDirectory root;
  const std::string at = root.path();
  const auto put = [&](const std::string& file, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(at + file).parent_path());
    std::ofstream(at + file) << text;
  };
  EXPECT_FALSE(processor_quota(at));  // no control groups at all
  put("/proc/self/cgroup", "0::/user.slice/job\n");
  EXPECT_FALSE(processor_quota(at));
  put("/sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n");
  EXPECT_FALSE(processor_quota(at));
  put("/sys/fs/cgroup/user.slice/job/cpu.max", "350000 100000\n");
  EXPECT_DOUBLE_EQ(processor_quota(at).value(), 3.5);
  put("/sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n");  // the group around it gives less
  EXPECT_DOUBLE_EQ(processor_quota(at).value(), 1.5);
  put("/proc/self/cgroup", "5:memory:/a\n4:cpu,cpuacct:/docker/b\n0::/\nnonsense\n");  // version 1
  EXPECT_FALSE(processor_quota(at));
  put("/sys/fs/cgroup/cpu,cpuacct/docker/b/cpu.cfs_quota_us", "-1\n");
  put("/sys/fs/cgroup/cpu,cpuacct/docker/b/cpu.cfs_period_us", "100000\n");
  EXPECT_FALSE(processor_quota(at));
  put("/sys/fs/cgroup/cpu,cpuacct/docker/b/cpu.cfs_quota_us", "50000\n");
  EXPECT_DOUBLE_EQ(processor_quota(at).value(), 0.5);
}

TEST(Processors, GiveTheNumberOfThreads) {
  EXPECT_EQ(usable_processors(8, {}).count, 8);
  EXPECT_EQ(usable_processors(8, {}).why, "8 processors");
  EXPECT_EQ(usable_processors(8, 12.).count, 8);
  EXPECT_EQ(usable_processors(8, 2.).count, 2);
  EXPECT_EQ(usable_processors(8, 2.5).count, 3);
  EXPECT_EQ(usable_processors(8, 2.5).why, "a quota of 2.5 of 8 processors");
  EXPECT_EQ(usable_processors(1, 0.2).count, 1);
  const char* before = std::getenv("OMP_NUM_THREADS");
  const std::string kept = before ? before : "";
  setenv("OMP_NUM_THREADS", "3,2", 1);
  EXPECT_EQ(default_threads().count, 3);
  for (const char* bad : {"0", "-4", "many", "5 cats", ""}) {
    setenv("OMP_NUM_THREADS", bad, 1);
    EXPECT_EQ(default_threads().count, usable_processors(allowed_processors(), processor_quota()).count) << bad;
  }
  if (before) setenv("OMP_NUM_THREADS", kept.c_str(), 1);
  else unsetenv("OMP_NUM_THREADS");
}

}  // namespace
}  // namespace cambium::testing
