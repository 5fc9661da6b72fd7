// Files: written whole or not at all, mapped for reading, read with a limit; directories that lock
// or vanish.
#include "core/files.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>

#include "core/environment.h"
#include "core/path_kind.h"
#include "core/temporaries.h"

namespace cambium {
namespace fs = std::filesystem;
namespace {

// The calls that a signal may interrupt, repeated until they are done. Returns the last result.
template <class Call>
auto repeat_interrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

[[noreturn]] void fail_to_read(const std::string& path, int error) {
  throw InputError(text(path, ": cannot be read: ", system_reason(error)));
}

// Reasons that lie in the path that was asked for, not in what happened while working.
bool is_bad_path(int error) {
  for (const int bad : {ENOENT, ENOTDIR, EACCES, EPERM, EROFS, EISDIR, ENAMETOOLONG, ELOOP, EINVAL, EEXIST})
    if (error == bad) return true;
  return false;
}

[[noreturn]] void fail_to_create(const std::string& path, int error) {
  const std::string message = text(path, ": cannot be written: ", system_reason(error));
  if (is_bad_path(error)) throw InputError(message);
  throw Error(message);
}

// Whether the lock is ours; false when another holds it. File systems without locks count as
// locked.
bool take_lock(int fd, int operation, const std::string& path) {
  if (repeat_interrupted([&] { return ::flock(fd, operation); }) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  const bool without_locks = errno == ENOLCK || errno == ENOSYS || errno == EOPNOTSUPP;
  CHECK(without_locks, path, ": cannot be locked: ", system_reason(errno));
  return true;
}

Descriptor open_lock_file(const std::string& directory) {
  const std::string path = directory + "/.lock";
  Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd) fail_to_create(path, errno);
  return fd;
}

// Whether there is something to read, or an end, within that time (-1: however long it takes).
bool wait_for_bytes(int fd, int milliseconds) {
  pollfd ready{fd, POLLIN, 0};
  return repeat_interrupted([&] { return ::poll(&ready, 1, milliseconds); }) != 0;
}

// Of the file system, not of a shell's `<(command)`: nobody may ever open its other end.
bool is_named_pipe(int fd) {
  struct stat status;
  struct statfs system;
  return ::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) && ::fstatfs(fd, &system) == 0 &&
         system.f_type != PIPEFS_MAGIC;
}

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

std::string system_reason(int error) { return std::generic_category().message(error); }

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

int Descriptor::release() noexcept { return std::exchange(fd_, -1); }

Descriptor open_as_it_is(const std::string& path) {
  // Without O_NONBLOCK a pipe that nobody writes to would stop us here.
  Descriptor fd(repeat_interrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (!fd) fail_to_read(path, errno);
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) fail_to_read(path, errno);
  check_input(S_ISREG(status.st_mode), path, S_ISDIR(status.st_mode) ? ": is a directory" : ": is not a file");
  return fd;
}

Descriptor open_for_reading(const std::string& path) {
  Descriptor fd = open_as_it_is(path);
  char start[64];
  if (const ssize_t count = repeat_interrupted([&] { return ::pread(fd.get(), start, sizeof start, 0); });
      count > 0 && size_of_file(fd, path) < 1024 && is_lfs_pointer({start, size_t(count)}))
    check_contents(path);
  return fd;
}

int64_t size_of_file(const Descriptor& fd, const std::string& path) {
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) fail_to_read(path, errno);
  return status.st_size;
}

void read_exactly(const Descriptor& fd, void* bytes, size_t count, int64_t offset, const std::string& path) {
  auto* to = static_cast<char*>(bytes);
  while (count > 0) {
    const ssize_t n = repeat_interrupted([&] { return ::pread(fd.get(), to, count, offset); });
    if (n < 0) fail_to_read(path, errno);
    check_input(n > 0, path, ": ends at byte ", offset, ", ", count, " bytes early");
    to += n, offset += n, count -= size_t(n);
  }
}

AtomicFile::AtomicFile(const std::string& path) : path_(path) {
  check_input(!path.empty() && path.back() != '/', '"', path, "\": is not the name of a file");
  std::error_code error;
  const fs::path target = fs::weakly_canonical(path, error);
  if (!error) path_ = target.string();
  const auto status = fs::status(path_, error);
  check_input(!fs::exists(status) || fs::is_regular_file(status), path, ": is there and is not a file");
  temporary_ = directory_of(path_) + "/." + fs::path(path_).filename().string() + ".tmp";
  lock();
}

// The temporary is ours once we hold its lock and it still has its name: whoever held the lock
// before may have renamed it.
void AtomicFile::lock() {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (true) {
    fd_ = Descriptor(::open(temporary_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666));
    if (!fd_) fail_to_create(path_, errno);
    if (take_lock(fd_.get(), LOCK_EX | LOCK_NB, temporary_)) {
      struct stat ours, named;
      if (::fstat(fd_.get(), &ours) == 0 && ::stat(temporary_.c_str(), &named) == 0 && ours.st_ino == named.st_ino &&
          ours.st_dev == named.st_dev)
        break;
      continue;
    }
    CHECK(std::chrono::steady_clock::now() < deadline, path_, ": another process is writing it");
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  register_temporary(temporary_);
  if (::ftruncate(fd_.get(), 0) != 0) fail(errno);
}

AtomicFile::~AtomicFile() {
  if (!fd_) return;
  ::unlink(temporary_.c_str());
  forget_temporary(temporary_);
}

void AtomicFile::fail(int error) const { throw Error(text(path_, ": cannot be written: ", system_reason(error))); }

void AtomicFile::write(const void* bytes, size_t count) {
  write_at(bytes, count, end_);
  end_ += int64_t(count);
}

void AtomicFile::write_at(const void* bytes, size_t count, int64_t offset) {
  auto* from = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t n = repeat_interrupted([&] { return ::pwrite(fd_.get(), from, count, offset); });
    if (n <= 0) fail(n < 0 ? errno : ENOSPC);
    from += n, offset += n, count -= size_t(n);
  }
}

void AtomicFile::commit() {
  if (repeat_interrupted([&] { return ::fsync(fd_.get()); }) != 0) fail(errno);
  forget_temporary(temporary_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail(errno);
  // From here on the name holds the new file: a temporary that is there now belongs to another
  // writer.
  const int fd = fd_.release();
  if (::close(fd) != 0 && errno != EINTR) fail(errno);
  sync_directory(directory_of(path_));
}

void write_file(const std::string& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const Descriptor fd = open_for_reading(path);
  const size_t size = size_t(size_of_file(fd, path));
  if (size == 0) return;
  void* const memory = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (memory == MAP_FAILED) fail_to_read(path, errno);
  bytes_ = {static_cast<const uint8_t*>(memory), size};
  owner_ = std::shared_ptr<const void>(memory, [size](const void* m) { ::munmap(const_cast<void*>(m), size); });
}

Tensor MappedFile::tensor(int64_t offset, const Shape& shape, DType dtype) const {
  const int64_t count = shape.size() * size_of(dtype);
  check_input(offset >= 0 && offset <= int64_t(size()) && count <= int64_t(size()) - offset, path_, ": bytes ", offset,
              " to ", offset + count, " are wanted, but it has ", size());
  const uint8_t* const from = data() + offset;
  if (count > 0 && reinterpret_cast<uintptr_t>(from) % uintptr_t(size_of(dtype)) == 0)
    return Tensor::wrap(from, shape, dtype, owner_);
  const Tensor copy = Tensor::empty(shape, dtype);
  if (count > 0) std::memcpy(copy.raw(), from, size_t(count));
  return copy;
}

std::string read_text_file(const std::string& path, int64_t limit) {
  // Without O_NONBLOCK a pipe that nobody writes to would stop us here.
  const Descriptor fd(repeat_interrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (!fd) fail_to_read(path, errno);
  std::string bytes;
  size_t filled = 0;
  bool opened = !is_named_pipe(fd.get()), waited = opened;  // by a writer
  struct stat status;
  if (::fstat(fd.get(), &status) == 0 && S_ISREG(status.st_mode)) {
    check_input(status.st_size <= limit, path, ": has ", status.st_size, " bytes; at most ", limit, " are read");
    bytes.resize(size_t(status.st_size) + 1);  // one more, to meet the end
  }
  while (true) {
    if (filled == bytes.size()) bytes.resize(std::max<size_t>(2 * filled, 1 << 16));
    const ssize_t n =
        repeat_interrupted([&] { return ::read(fd.get(), bytes.data() + filled, bytes.size() - filled); });
    if (n < 0 && errno == EAGAIN) {
      opened = waited = wait_for_bytes(fd.get(), -1);
      continue;
    }
    if (n < 0) fail_to_read(path, errno);
    if (n == 0 && !waited) {
      opened = wait_for_bytes(fd.get(), 5000);
      waited = true;
      continue;
    }
    check_input(n > 0 || opened, path, ": is a pipe that nobody writes to");
    if (n == 0) break;
    opened = waited = true;
    filled += size_t(n);
    check_input(int64_t(filled) <= limit, path, ": has more than ", limit, " bytes, the most that are read");
  }
  bytes.resize(filled);
  if (is_lfs_pointer(bytes)) check_contents(path);
  return bytes;
}

TemporaryDirectory::TemporaryDirectory(const std::string& parent) {
  std::string name = (!parent.empty() ? parent : temporary_place()) + "/cambium-XXXXXX";
  if (!::mkdtemp(name.data())) fail_to_create(name, errno);
  path_ = name;
  register_temporary(path_);
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  forget_temporary(path_);
}

DirectoryLock::DirectoryLock(const std::string& directory, const std::function<void()>& waiting)
    : fd_(open_lock_file(directory)) {
  if (take_lock(fd_.get(), LOCK_EX | LOCK_NB, directory)) return;
  if (waiting) waiting();
  take_lock(fd_.get(), LOCK_EX, directory);
}

std::optional<DirectoryLock> DirectoryLock::try_lock(const std::string& directory) {
  Descriptor fd = open_lock_file(directory);
  if (!take_lock(fd.get(), LOCK_EX | LOCK_NB, directory)) return {};
  return DirectoryLock(std::move(fd));
}

void make_directories(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail_to_create(path, error.value());
}

bool file_exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

bool is_directory(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::vector<std::string> list_directory(const std::string& path) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error))
    names.push_back(entry->path().filename().string());
  if (error) fail_to_read(path, error.value());
  std::sort(names.begin(), names.end());
  return names;
}

void sync_directory(const std::string& path) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // A directory that may be written but not read, or a file system that cannot sync one, is no
  // failure.
  if (!fd || ::fsync(fd.get()) == 0 || errno == EINVAL || errno == EBADF) return;
  throw Error(text(path, ": the disk did not confirm what was written: ", system_reason(errno)));
}

}  // namespace cambium
