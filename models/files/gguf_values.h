// The metadata of GGUF files: typed values by key, checked when the file is opened and read when
// they are asked for.
#pragma once

#include <cstring>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/files.h"

namespace cambium {

// Reads a file from front to back; nothing beyond its end.
class GgufCursor {
 public:
  GgufCursor(const MappedFile& file, size_t at) : file_(file), at_(at) {}

  size_t at() const { return at_; }
  size_t left() const { return file_.size() - at_; }

  // Goes over `count` times `size` bytes, which must be there; `what` is for the message if not.
  const uint8_t* skip(uint64_t count, size_t size, std::string_view what);
  template <class T>
  T take(std::string_view what) {
    T value;
    std::memcpy(&value, skip(1, sizeof value, what), sizeof value);
    return value;
  }
  std::string_view string(std::string_view what);
  [[noreturn]] void fail(std::string_view what) const;

 private:
  const MappedFile& file_;
  size_t at_;
};

class GgufValues {
 public:
  GgufValues() = default;
  // Goes over `count` keys and values.
  GgufValues(const MappedFile& file, GgufCursor& cursor, uint64_t count);

  bool has(std::string_view key) const { return places_.contains(key); }
  std::vector<std::string> keys() const;
  std::string print(std::string_view key) const;  // arrays as their size

  // A value in the bounds (both included): InputError with the key where it is missing or of
  // another type.
  int64_t get_int(std::string_view key, int64_t min = std::numeric_limits<int64_t>::min(),
                  int64_t max = std::numeric_limits<int64_t>::max()) const;
  double get_number(std::string_view key, double min = -std::numeric_limits<double>::max(),
                    double max = std::numeric_limits<double>::max()) const;
  bool get_bool(std::string_view key) const;
  std::string get_string(std::string_view key) const;
  std::vector<std::string> get_strings(std::string_view key) const;
  std::vector<int64_t> get_ints(std::string_view key) const;
  std::vector<float> get_floats(std::string_view key) const;

  // The same where the key may be missing.
  std::optional<int64_t> find_int(std::string_view key, int64_t min = std::numeric_limits<int64_t>::min(),
                                  int64_t max = std::numeric_limits<int64_t>::max()) const;
  std::optional<double> find_number(std::string_view key, double min = -std::numeric_limits<double>::max(),
                                    double max = std::numeric_limits<double>::max()) const;
  std::optional<bool> find_bool(std::string_view key) const;
  std::optional<std::string> find_string(std::string_view key) const;

 private:
  enum class Type : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
  // Where a value's bytes are, inside the file for sure.
  struct Place {
    Type type;  // of an array: of its elements
    bool is_array;
    uint64_t count;  // 1 for a single value
    size_t offset;
  };
  static Place read_place(GgufCursor&, std::string_view key);
  static void skip_elements(GgufCursor&, Type, uint64_t count, int depth);
  const Place& place(std::string_view key, bool array, const char* expected) const;
  GgufCursor at(const Place& place) const { return {file_, place.offset}; }
  int64_t take_int(GgufCursor&, Type, std::string_view key) const;
  [[noreturn]] void fail(std::string_view key, std::string_view what) const;

  MappedFile file_;
  std::map<std::string, Place, std::less<>> places_;
};

}  // namespace cambium
