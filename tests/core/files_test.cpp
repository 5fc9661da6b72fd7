// Files: nothing half-written whatever goes wrong, and every error names path and reason.
#include "core/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "core/sha256.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

TEST(Files, WrittenWholeAndReadBack) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a.txt";
  write_file(path, "first");
  EXPECT_EQ(read_text_file(path), "first");
  write_file(path, "");
  EXPECT_EQ(read_text_file(path), "");
  EXPECT_EQ(list_directory(folder.path()), std::vector<std::string>{"a.txt"});
}

TEST(Files, WithoutCommitTheOldFileStays) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a.txt";
  write_file(path, "old");
  {
    AtomicFile file(path);
    file.write("new");
    EXPECT_EQ(read_text_file(path), "old");
  }
  EXPECT_EQ(read_text_file(path), "old");
  EXPECT_EQ(list_directory(folder.path()), std::vector<std::string>{"a.txt"});
}

TEST(Files, FullDiskLeavesTheOldFile) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a.txt";
  write_file(path, "old");
  const std::string big(100000, 'x');
  {
    const FileSizeLimit limit(50000);
    expect_error<Error>([&] { write_file(path, big); }, {path, "cannot be written", "File too large"});
  }
  EXPECT_EQ(read_text_file(path), "old");
  EXPECT_EQ(list_directory(folder.path()), std::vector<std::string>{"a.txt"});
}

TEST(Files, PathsThatCannotBeWritten) {
  const TemporaryDirectory folder;
  write_file(folder / "file", "x");
  expect_error<InputError>([&] { write_file(folder / "none/a", "x"); }, {"none/a", "No such file"});
  expect_error<InputError>([&] { write_file(folder / "file/a", "x"); }, {"file/a", "Not a directory"});
  expect_error<InputError>([&] { write_file(folder.path(), "x"); }, {folder.path(), "is there and is not a file"});
  expect_error<InputError>([&] { write_file("/dev/null", "x"); }, {"/dev/null", "is there and is not a file"});
  expect_error<InputError>([&] { write_file("", "x"); }, {"not the name of a file"});
  expect_error<InputError>([&] { write_file(folder / std::string(300, 'a'), "x"); }, {"File name too long"});
  expect_error<InputError>([&] { make_directories(folder / "file/a"); }, {"file/a", "Not a directory"});
  struct stat status;
  ASSERT_EQ(::stat("/dev/null", &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
}

TEST(Files, NoPermission) {
  const TemporaryDirectory folder;
  write_file(folder / "a", "old");
  ASSERT_EQ(::chmod(folder.path().c_str(), 0555), 0);
  ASSERT_EQ(::chmod((folder / "a").c_str(), 0), 0);
  const uid_t user = ::geteuid();
  ASSERT_EQ(user == 0 ? ::seteuid(65534) : 0, 0);  // root may do everything
  expect_error<InputError>([&] { write_file(folder / "a", "x"); }, {"/a", "cannot be written: Permission denied"});
  expect_error<InputError>([&] { read_text_file(folder / "a"); }, {"/a", "cannot be read: Permission denied"});
  expect_error<InputError>([&] { DirectoryLock lock(folder.path()); }, {folder.path(), "Permission denied"});
  ASSERT_EQ(::seteuid(user), 0);
  ASSERT_EQ(::chmod(folder.path().c_str(), 0700), 0);
}

TEST(Files, ASymbolicLinkStays) {
  const TemporaryDirectory folder;
  write_file(folder / "target", "old");
  ASSERT_EQ(::symlink("target", (folder / "link").c_str()), 0);
  write_file(folder / "link", "new");
  EXPECT_EQ(read_text_file(folder / "target"), "new");
  struct stat status;
  ASSERT_EQ(::lstat((folder / "link").c_str(), &status), 0);
  EXPECT_TRUE(S_ISLNK(status.st_mode));
}

TEST(Files, AKilledWritersLeftoverIsTakenOver) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a";
  write_file(path, "old");
  const pid_t child = ::fork();
  if (child == 0) {
    AtomicFile file(path);
    file.write("a longer text that stays behind");
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(list_directory(folder.path()), (std::vector<std::string>{".a.tmp", "a"}));
  write_file(path, "new");
  EXPECT_EQ(read_text_file(path), "new");
  EXPECT_EQ(list_directory(folder.path()), std::vector<std::string>{"a"});
}

TEST(Files, WritersOfOneNameTakeTurns) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a";
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 20; ++i) write_file(path, std::string(1000 + size_t(t), char('a' + t)));
    });
  for (auto& thread : threads) thread.join();
  const std::string last = read_text_file(path);
  ASSERT_GE(last.size(), 1000u);
  EXPECT_EQ(last, std::string(last.size(), char('a' + int(last.size() - 1000))));
  EXPECT_EQ(list_directory(folder.path()), std::vector<std::string>{"a"});
}

TEST(Files, ReadWithALimit) {
  const TemporaryDirectory folder;
  write_file(folder / "a", "12345");
  EXPECT_EQ(read_text_file(folder / "a", 5), "12345");
  expect_error<InputError>([&] { read_text_file(folder / "a", 4); }, {"/a", "has 5 bytes", "at most 4"});
  expect_error<InputError>([&] { read_text_file("/dev/zero", 1000); }, {"/dev/zero", "more than 1000 bytes"});
  expect_error<InputError>([&] { read_text_file(folder / "b"); }, {"/b", "No such file"});
  expect_error<InputError>([&] { read_text_file(folder.path()); }, {folder.path(), "Is a directory"});
}

TEST(Files, APipeIsReadToItsEnd) {
  const TemporaryDirectory folder;
  const std::string path = folder / "pipe", bytes(200000, 'p');
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  std::thread writer([&] {
    const Descriptor fd(::open(path.c_str(), O_WRONLY));
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t n = ::write(fd.get(), bytes.data() + done, bytes.size() - done);
      if (n <= 0) return;
      done += size_t(n);
    }
  });
  EXPECT_EQ(read_text_file(path), bytes);
  writer.join();
}

TEST(Files, MappedTensorsOutliveFileAndMapping) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a";
  const float values[3] = {1.5f, -2, 3};
  std::string bytes = "x";
  bytes.append(reinterpret_cast<const char*>(values), sizeof values);
  write_file(path, std::string(bytes.begin() + 1, bytes.end()));
  write_file(folder / "unaligned", bytes);
  Tensor shared, copied;
  {
    const MappedFile file(path), unaligned(folder / "unaligned");
    EXPECT_EQ(file.size(), sizeof values);
    shared = file.tensor(4, {2}, DType::f32);
    EXPECT_EQ(shared.raw(), file.data() + 4);
    copied = unaligned.tensor(1, {3}, DType::f32);
    expect_error<InputError>([&] { file.tensor(4, {3}, DType::f32); }, {path, "bytes 4 to 16", "has 12"});
    expect_error<InputError>([&] { file.tensor(-1, {1}, DType::f32); }, {path});
    expect_error<InputError>([&] { file.tensor(13, {0}, DType::f32); }, {path});
    EXPECT_EQ(file.tensor(12, {0}, DType::f32).size(), 0);
  }
  write_file(path, "replaced");
  EXPECT_EQ(shared.span<float>()[0], -2);
  EXPECT_EQ(shared.span<float>()[1], 3);
  EXPECT_EQ(copied.span<float>()[0], 1.5f);
  write_file(path, "");
  EXPECT_EQ(MappedFile(path).size(), 0u);
  expect_error<InputError>([&] { MappedFile(folder / "none"); }, {"none", "No such file"});
  expect_error<InputError>([&] { MappedFile("/dev/zero"); }, {"/dev/zero", "not a file"});
  expect_error<InputError>([&] { MappedFile(folder.path()); }, {"is a directory"});
}

TEST(Files, TemporaryDirectoryVanishes) {
  std::string path;
  {
    const TemporaryDirectory folder;
    path = folder.path();
    make_directories(folder / "a/b");
    write_file(folder / "a/b/c", "x");
    EXPECT_TRUE(is_directory(path));
  }
  EXPECT_FALSE(file_exists(path));
  expect_error<InputError>([&] { TemporaryDirectory(path + "/none"); }, {"none", "No such file"});
}

TEST(Files, ADirectoryIsLockedOnce) {
  const TemporaryDirectory folder;
  {
    const auto first = DirectoryLock::try_lock(folder.path());
    ASSERT_TRUE(first);
    EXPECT_FALSE(DirectoryLock::try_lock(folder.path()));
  }
  EXPECT_TRUE(DirectoryLock::try_lock(folder.path()));
  bool waited = false;
  const DirectoryLock free(folder.path(), [&] { waited = true; });
  EXPECT_FALSE(waited);
  expect_error<InputError>([&] { DirectoryLock::try_lock(folder / "none"); }, {"none", "No such file"});
}

TEST(Files, ALockDiesWithItsProcess) {
  const TemporaryDirectory folder;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto lock = DirectoryLock::try_lock(folder.path());
    const char answer = lock ? 'y' : 'n';
    if (::write(ready[1], &answer, 1) == 1) ::pause();
    ::_exit(0);
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_FALSE(DirectoryLock::try_lock(folder.path()));
  bool waited = false;
  const DirectoryLock lock(folder.path(), [&] {
    waited = true;
    ::kill(child, SIGKILL);
  });
  EXPECT_TRUE(waited);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]), ::close(ready[1]);
}

// FIPS 180-4's examples, and a sum over several blocks.
TEST(Sha256, KnownSums) {
  Sha256 empty, abc, million;
  EXPECT_EQ(hex(empty.finish()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  abc.update("a"), abc.update("bc");
  EXPECT_EQ(hex(abc.finish()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  for (int i = 0; i < 1000; ++i) million.update(std::string(1000, 'a'));
  EXPECT_EQ(hex(million.finish()), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, OfAFile) {
  const TemporaryDirectory folder;
  write_file(folder / "a", "head" + std::string(3000000, 'b'));
  Sha256 expected;
  expected.update(std::string(3000000, 'b'));
  int64_t done = 0, total = 0;
  EXPECT_EQ(sha256_of_file(folder / "a", 4, [&](int64_t d, int64_t t) { done = d, total = t; }), expected.finish());
  EXPECT_EQ(done, 3000000);
  EXPECT_EQ(total, 3000000);
  expect_error<InputError>([&] { sha256_of_file(folder / "none"); }, {"none", "No such file"});
}

}  // namespace
}  // namespace cambium::testing
