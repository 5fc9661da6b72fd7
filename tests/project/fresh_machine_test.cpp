// The README's first commands on a new machine, where this one lets a test make it; and what tools/test-aarch64
// refuses.
#include <filesystem>

#include "core/files.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace cambium::testing {
namespace {

std::string mounts() { return read_text_file("/proc/self/mounts"); }

// As root and as a new user; the script says what it cannot do here. Machines are kept, so the next time takes less.
TEST(FreshMachine, BuildsRunsAndTestsLong) {
  const ProcessResult r =
      run_process({source_path("tools/fresh-machine"), "--where-possible"}, {.seconds = 3 * 3600.0});
  if (r.code == 0 && r.out.starts_with("not run: ")) GTEST_SKIP() << r.out;
  EXPECT_EQ(r.code, 0) << r.out << r.err;
  EXPECT_NE(r.out.find("A new bookworm machine builds and runs"), r.out.npos) << r.out;
}

TEST(FreshMachine, RefusesWhatItCannotDo) {
  const std::string program = source_path("tools/fresh-machine");
  EXPECT_EQ(run_process({program, "--suite", "../etc"}).code, 2);
  EXPECT_EQ(run_process({program, "--machines"}).code, 2);
  EXPECT_EQ(run_process({program, "--frobnicate"}).code, 2);
  // No debootstrap in the PATH, or no root: both before anything is made.
  const TemporaryDirectory folder;
  std::filesystem::create_directories(folder / "bin");
  for (const char* name : {"bash", "dirname", "realpath", "id"})
    std::filesystem::create_symlink("/usr/bin/" + std::string(name), folder / (std::string("bin/") + name));
  const std::map<std::string, std::string> poor = {{"PATH", folder / "bin"}, {"CAMBIUM_MACHINES", folder / "machines"}};
  const ProcessResult refused = run_process({"/bin/bash", program}, {.environment = poor});
  EXPECT_EQ(refused.code, 2);
  EXPECT_TRUE(refused.err.starts_with("error: ")) << refused.err;
  const ProcessResult told = run_process({"/bin/bash", program, "--where-possible"}, {.environment = poor});
  EXPECT_EQ(told.code, 0) << told.err;
  EXPECT_TRUE(told.out.starts_with("not run: ")) << told.out;
  EXPECT_FALSE(std::filesystem::exists(folder / "machines"));
}

TEST(Aarch64, RefusesWhatItCannotDo) {
  const std::string program = source_path("tools/test-aarch64");
  for (const char* option : {"--frobnicate", "--libraries", "--libraries="})
    EXPECT_EQ(run_process({program, option}).code, 2) << option;
  // No cross compiler: one line that names every package.
  const TemporaryDirectory folder;
  for (const char* name : {"bash", "dirname", "cmake"})
    std::filesystem::create_symlink("/usr/bin/" + std::string(name), folder / name);
  const ProcessResult r = run_process({"/bin/bash", program}, {.environment = {{"PATH", folder.path()}}});
  EXPECT_EQ(r.code, 2);
  EXPECT_TRUE(r.err.starts_with("error: missing here: g++-aarch64-linux-gnu qemu-user ")) << r.err;
  EXPECT_EQ(r.err.find('\n'), r.err.size() - 1) << r.err;
}

// Stopped in the middle it leaves nothing mounted, and no half machine.
TEST(FreshMachine, LeavesNothingMountedLong) {
  const TemporaryDirectory folder;
  Process process({source_path("tools/fresh-machine"), "--where-possible", "--machines", folder.path()},
                  {.seconds = 1800});
  const std::string machine = folder / "bookworm.machine/root/cambium/quickstart";
  while (process.running() && !std::filesystem::exists(machine)) ::usleep(100'000);
  if (!process.running()) {
    const ProcessResult r = process.wait();
    if (r.out.starts_with("not run: ")) GTEST_SKIP() << r.out;
    FAIL() << r.out << r.err;
  }
  ::usleep(2'000'000);
  EXPECT_EQ(mounts().find(folder.path()), std::string::npos);  // while it runs, they are the machine's own
  process.kill(SIGTERM);
  const ProcessResult r = process.wait();
  EXPECT_EQ(r.code, 130) << r.out << r.err;
  EXPECT_EQ(mounts().find(folder.path()), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder / "bookworm.machine"));
}

}  // namespace
}  // namespace cambium::testing
