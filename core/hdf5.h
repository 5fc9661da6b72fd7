// HDF5 files that are written whole and checked before they are opened.
//
// A file of ours starts with 512 bytes of text: what it is, the length of the rest and its SHA-256.
// HDF5 skips such a "user block": h5ls, h5dump and h5py read the file as it is. Here the sum is
// compared before the library sees the file, because the library crashes on some damaged files.
// Files of others have no sum: a child process with little memory and time copies what it can read
// into a file like ours, and only the copy is opened. If the child dies, the file is damaged.
//
// The same content gives the same bytes: no times, no uninitialised memory. Any number of threads
// may use files at the same time; they take turns.
//
// Paths are "/group/name". InputError: a file that cannot be used or lacks what is asked for.
// Error: one that cannot be written.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/tensor.h"

namespace cambium {

class Descriptor;

// What an attribute holds.
using Hdf5Value =
    std::variant<int64_t, double, std::string, std::vector<int64_t>, std::vector<double>, std::vector<std::string>>;

// Builds a file; nothing appears under its name before `commit` (see AtomicFile in core/files.h).
class Hdf5Writer {
 public:
  explicit Hdf5Writer(const std::string& path);
  ~Hdf5Writer();

  // Groups above `path` are created too.
  void group(const std::string& path);
  // bf16 becomes a floating-point type of 1 sign, 8 exponent and 7 mantissa bits.
  // gzip: 0 (none), or 1 (fast) to 9 (small).
  void write(const std::string& path, const Tensor&, int gzip = 0);
  void write(const std::string& path, std::span<const int64_t>);
  void write(const std::string& path, std::span<const std::string>);  // UTF-8 without NUL

  // Of a group or dataset that is there; "/" is the file itself.
  void attribute(const std::string& path, const std::string& name, const Hdf5Value& value);

  void commit();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class Hdf5File {
 public:
  explicit Hdf5File(const std::string& path);

  const std::string& path() const;
  bool is_group(const std::string& path) const;
  bool is_dataset(const std::string& path) const;
  // Names in a group, sorted.
  std::vector<std::string> list(const std::string& group = "/") const;
  // Paths of all datasets below a group, sorted.
  std::vector<std::string> datasets(const std::string& group = "/") const;

  Shape shape(const std::string& path) const;
  DType dtype(const std::string& path) const;  // of the tensor that `read` makes
  // What reads it; `ints` are those that an i32 tensor does not hold, `other` nothing reads.
  enum class Kind { tensor, ints, strings, other };
  Kind kind(const std::string& path) const;
  // f32, bf16, f64 and i32 as they are; other floats become f32 or f64, shorter integers i32.
  Tensor read(const std::string& path) const;
  // Into a tensor on the CPU of that shape and type.
  void read_into(const std::string& path, const Tensor&) const;
  std::vector<int64_t> read_ints(const std::string& path) const;  // any integers
  std::vector<std::string> read_strings(const std::string& path) const;

  std::vector<std::string> attributes(const std::string& path = "/") const;  // names, sorted
  bool has_attribute(const std::string& path, const std::string& name) const;
  // Integers become int64_t, floats double, fewer than one dimension a single value.
  Hdf5Value value(const std::string& path, const std::string& name) const;
  // The same as a T, one of the types in Hdf5Value. An integer reads as a double too.
  template <class T>
  T attribute(const std::string& path, const std::string& name) const {
    Hdf5Value v = value(path, name);
    if constexpr (std::is_same_v<T, double>)
      if (const int64_t* integer = std::get_if<int64_t>(&v)) return double(*integer);
    T* const wanted = std::get_if<T>(&v);
    if (!wanted) fail_attribute(path, name, v, Hdf5Value(T()));
    return std::move(*wanted);
  }

  // Skips the comparison with the sum; for the child process.
  static Hdf5File unchecked(Descriptor, const std::string& path);

 private:
  struct State;
  explicit Hdf5File(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  [[noreturn]] void fail_attribute(const std::string& path, const std::string& name, const Hdf5Value& found,
                                   const Hdf5Value& wanted) const;

  std::shared_ptr<const State> state_;
};

}  // namespace cambium
