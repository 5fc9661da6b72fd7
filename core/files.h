// Files: written whole or not at all, mapped for reading, read with a limit; directories that lock
// or vanish.
//
// What cannot be used is an InputError (a missing file, no permission, a directory where a file is
// needed); what fails while working is an Error (a full disk). Both name the path and the system's
// reason.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/tensor.h"

namespace cambium {

// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  int get() const { return fd_; }
  int release() noexcept;
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Opens a regular file for reading.
Descriptor open_for_reading(const std::string& path);
int64_t size_of_file(const Descriptor&, const std::string& path);
// All of the bytes at `offset`; `path` is for messages.
void read_exactly(const Descriptor&, void* bytes, size_t count, int64_t offset, const std::string& path);

// A file that appears under its name whole, or not at all.
//
// The bytes go into `.NAME.tmp` beside it, are synced, and take the name in one step by `commit`,
// which syncs the directory too. Without commit, and after any failure, the temporary is removed
// and the old file stays. One that a killed process left behind is taken over by the next writer of
// the same name. Two that write the same name at once take turns: the second waits ten seconds,
// then fails. What is there and is no regular file
// (/dev/null) is refused; a symbolic link stays, its target is replaced.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, size_t count);  // at the end
  void write(std::string_view bytes) { write(bytes.data(), bytes.size()); }
  void write_at(const void* bytes, size_t count, int64_t offset);
  void commit();

  const Descriptor& descriptor() const { return fd_; }  // open for reading and writing
  const std::string& path() const { return path_; }

 private:
  [[noreturn]] void fail(int error) const;
  void lock();

  std::string path_, temporary_;
  Descriptor fd_;
  int64_t end_ = 0;
};

void write_file(const std::string& path, std::string_view bytes);

// The bytes of a file as memory, read from the disk when they are touched; copies share the
// mapping, which lives until the last of them and of its tensors is gone.
//
// A file that is replaced (by rename, as all writers here, package managers and the hub's tools do)
// or removed stays what it was. One that another process cuts short in place loses its tail:
// touching that part ends this process by SIGBUS, as with every mapping. Writing to the memory ends
// it by SIGSEGV.
class MappedFile {
 public:
  MappedFile() = default;
  explicit MappedFile(const std::string& path);

  const uint8_t* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  std::span<const uint8_t> bytes() const { return bytes_; }
  const std::shared_ptr<const void>& owner() const { return owner_; }
  const std::string& path() const { return path_; }

  // Elements at a byte offset. Shares the mapping where the address suits the type, else a copy.
  Tensor tensor(int64_t offset, const Shape&, DType) const;

 private:
  std::string path_;
  std::span<const uint8_t> bytes_;
  std::shared_ptr<const void> owner_;
};

// The whole of a file or pipe; more than `limit` bytes are an InputError.
std::string read_text_file(const std::string& path, int64_t limit = int64_t(1) << 30);

// A new directory, removed with all it holds. In `parent`, by default in $TMPDIR or /tmp.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& parent = {});
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

// A directory's lock, held until destruction or the end of the process, however it ends. Advisory:
// it keeps out those who ask for it. On a file system without locks (some network mounts) it keeps
// nobody out.
class DirectoryLock {
 public:
  // Waits for whoever holds it; calls `waiting` once if that is so.
  explicit DirectoryLock(const std::string& directory, const std::function<void()>& waiting = {});
  // None if another holds it.
  static std::optional<DirectoryLock> try_lock(const std::string& directory);

 private:
  explicit DirectoryLock(Descriptor fd) : fd_(std::move(fd)) {}
  Descriptor fd_;
};

// Creates a directory and those above it.
void make_directories(const std::string& path);
bool file_exists(const std::string& path);
bool is_directory(const std::string& path);
// Names in a directory, sorted, without . and ..
std::vector<std::string> list_directory(const std::string& path);
// Makes a rename or a removal in the directory last.
void sync_directory(const std::string& path);

// The text of an errno value.
std::string system_reason(int error);

}  // namespace cambium
