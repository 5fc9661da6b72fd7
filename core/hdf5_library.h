// The HDF5 C library, tamed: handles that close themselves, its errors as ours, its bytes through a
// descriptor. For the files core/hdf5*.cpp alone.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

#include "core/files.h"
#include "core/tensor.h"

namespace cambium::hdf5 {

// One thread at a time is inside the library (few builds of it allow more), and it prints nothing.
// Every public function holds one while it runs.
class Session {
 public:
  Session();
  // In the child of a fork: there is no other thread, and the lock would not know this one.
  static void assume_one_thread() { one_thread_ = true; }

 private:
  static bool one_thread_;
  std::unique_lock<std::recursive_mutex> lock_;
};

// An object of the library, closed at the end of its scope.
class Handle {
 public:
  Handle() = default;
  Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_), std::swap(close_, other.close_);
    return *this;
  }
  ~Handle() { close(); }

  operator hid_t() const { return id_; }
  // False if it stays open.
  bool close() {
    if (id_ >= 0 && close_(id_) < 0) return false;
    id_ = -1;
    return true;
  }

 private:
  hid_t id_ = -1;
  herr_t (*close_)(hid_t) = nullptr;
};

// The innermost reason of the library's last failure.
std::string reason();

// A file that the library reads and writes through a descriptor. A failed write is noted and then
// reported as done: the library cannot close a file that it cannot write, and would keep it for
// ever. Whoever writes looks at `error`, an errno, and throws.
struct Io {
  int fd = -1;
  int* error = nullptr;
};
Handle create_file(const Io&, int64_t user_block);
Handle open_file(const Io&);  // read-only; negative on failure

// bfloat16 as a type of the library.
hid_t bfloat16_type();
// A tensor's elements, in the file as in memory.
hid_t type_of(DType);
Handle string_type();  // UTF-8 of any length

// What elements of the type `stored` are read as.
enum class Content { f32, bf16, f64, i32, i64, string, other };
Content content_of(hid_t stored);

// The text that opens a file of ours.
inline constexpr int64_t kBlock = 512;
std::string user_block(int64_t length_of_rest, const std::string& sha256_of_rest);
// The sum of an intact file of ours, "" for an HDF5 file of others; else InputError.
std::string verify(const Descriptor&, const std::string& path);

// The sums of files that this process wrote or has rehearsed.
void trust(const std::string& sum);
bool is_trusted(const std::string& sum);
// A sum guards against damage, not against a file that was made to harm. What this process did not write is therefore
// read through a copy that a child process makes, as a file of others, or above this size only rehearsed: a child does
// whatever a reader may ask of the library, and InputError where it dies of that.
inline constexpr int64_t kCopied = int64_t(64) << 20;
void rehearse(const Descriptor&, const std::string& path);

// Copies what can be read of a file of others into `copy`, a new file of ours, by a child process.
void copy_foreign(const Descriptor&, const std::string& path, const std::string& copy);

}  // namespace cambium::hdf5
