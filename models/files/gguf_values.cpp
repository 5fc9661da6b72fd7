// The metadata of GGUF files: every length is compared with what is left of the file before it is
// used.
#include "models/files/gguf_values.h"

#include <algorithm>

namespace cambium {
namespace {

constexpr int kArraysInside = 4;

}  // namespace

void GgufCursor::fail(std::string_view what) const { throw InputError(text(file_.path(), ": byte ", at_, ": ", what)); }

const uint8_t* GgufCursor::skip(uint64_t count, size_t size, std::string_view what) {
  if (count > left() / size)
    fail(text(what, " needs ", count, " times ", size, " bytes, but ", left(), " are left: damaged or cut short"));
  const uint8_t* const from = file_.data() + at_;
  at_ += size_t(count) * size;
  return from;
}

std::string_view GgufCursor::string(std::string_view what) {
  const auto length = take<uint64_t>(what);
  return {reinterpret_cast<const char*>(skip(length, 1, what)), size_t(length)};
}

GgufValues::GgufValues(const MappedFile& file, GgufCursor& cursor, uint64_t count) : file_(file) {
  if (count > cursor.left() / 13) cursor.fail(text("claims ", count, " metadata: damaged or cut short"));
  for (uint64_t i = 0; i < count; ++i) {
    const std::string key(cursor.string("a metadata key"));
    if (key.empty() || key.size() > 0xffff) cursor.fail(text("a metadata key of ", key.size(), " bytes"));
    if (!places_.emplace(key, read_place(cursor, key)).second) fail(key, "comes a second time");
  }
}

GgufValues::Place GgufValues::read_place(GgufCursor& cursor, std::string_view key) {
  Place p{Type(cursor.take<uint32_t>(key)), false, 1, 0};
  if (p.type == Type::array) {
    p.is_array = true;
    p.type = Type(cursor.take<uint32_t>(key));
    p.count = cursor.take<uint64_t>(key);
  }
  p.offset = cursor.at();
  skip_elements(cursor, p.type, p.count, 0);
  return p;
}

void GgufValues::skip_elements(GgufCursor& cursor, Type type, uint64_t count, int depth) {
  switch (type) {
    case Type::u8:
    case Type::i8: cursor.skip(count, 1, "an array"); return;
    case Type::boolean: {
      const uint8_t* const flags = cursor.skip(count, 1, "an array");
      if (std::any_of(flags, flags + count, [](uint8_t f) { return f > 1; }))
        cursor.fail("a boolean that is neither 0 nor 1");
      return;
    }
    case Type::u16:
    case Type::i16: cursor.skip(count, 2, "an array"); return;
    case Type::u32:
    case Type::i32:
    case Type::f32: cursor.skip(count, 4, "an array"); return;
    case Type::u64:
    case Type::i64:
    case Type::f64: cursor.skip(count, 8, "an array"); return;
    case Type::string:
      if (count > cursor.left() / 8) cursor.fail(text("claims ", count, " strings: damaged or cut short"));
      for (uint64_t i = 0; i < count; ++i) cursor.string("a string");
      return;
    case Type::array:
      if (count > cursor.left() / 12 || depth == kArraysInside)
        cursor.fail(text("claims ", count, " arrays, ", depth + 1, " deep"));
      for (uint64_t i = 0; i < count; ++i) {
        const auto inner = cursor.take<uint32_t>("an array");
        const auto inner_count = cursor.take<uint64_t>("an array");
        skip_elements(cursor, Type(inner), inner_count, depth + 1);
      }
      return;
  }
  cursor.fail(text("a value of the unknown type ", uint32_t(type)));
}

std::vector<std::string> GgufValues::keys() const {
  std::vector<std::string> out;
  for (const auto& [key, _] : places_) out.push_back(key);
  return out;
}

std::string GgufValues::print(std::string_view key) const {
  const auto found = places_.find(key);
  if (found == places_.end()) fail(key, "is missing");
  const Place& p = found->second;
  if (p.is_array) return text("an array of ", p.count);
  switch (p.type) {
    case Type::string: return get_string(key);
    case Type::boolean: return get_bool(key) ? "true" : "false";
    case Type::f32: return text(at(p).take<float>(key));
    case Type::f64: return text(at(p).take<double>(key));
    case Type::u64: return text(at(p).take<uint64_t>(key));
    default: return text(get_int(key));
  }
}

void GgufValues::fail(std::string_view key, std::string_view what) const {
  throw InputError(text(file_.path(), ": the metadata key ", key.substr(0, 200), ' ', what));
}

const GgufValues::Place& GgufValues::place(std::string_view key, bool array, const char* expected) const {
  const auto found = places_.find(key);
  if (found == places_.end()) fail(key, text("is missing; expected ", expected));
  if (found->second.is_array != array) fail(key, text(array ? "is no array" : "is an array", "; expected ", expected));
  return found->second;
}

int64_t GgufValues::take_int(GgufCursor& cursor, Type type, std::string_view key) const {
  switch (type) {
    case Type::u8: return cursor.take<uint8_t>(key);
    case Type::i8: return cursor.take<int8_t>(key);
    case Type::u16: return cursor.take<uint16_t>(key);
    case Type::i16: return cursor.take<int16_t>(key);
    case Type::u32: return cursor.take<uint32_t>(key);
    case Type::i32: return cursor.take<int32_t>(key);
    case Type::i64: return cursor.take<int64_t>(key);
    case Type::u64: {
      const auto v = cursor.take<uint64_t>(key);
      if (v > uint64_t(std::numeric_limits<int64_t>::max())) fail(key, text("holds ", v, ": too large"));
      return int64_t(v);
    }
    default: fail(key, "does not hold integers");
  }
}

int64_t GgufValues::get_int(std::string_view key, int64_t min, int64_t max) const {
  const Place& v = place(key, false, "an integer");
  GgufCursor cursor = at(v);
  const int64_t number = take_int(cursor, v.type, key);
  if (number < min || number > max) fail(key, text("is ", number, "; expected an integer from ", min, " to ", max));
  return number;
}

double GgufValues::get_number(std::string_view key, double min, double max) const {
  const Place& v = place(key, false, "a number");
  GgufCursor cursor = at(v);
  const double number = v.type == Type::f32   ? double(cursor.take<float>(key))
                        : v.type == Type::f64 ? cursor.take<double>(key)
                                              : double(take_int(cursor, v.type, key));
  if (!(number >= min && number <= max)) fail(key, text("is ", number, "; expected a number from ", min, " to ", max));
  return number;
}

bool GgufValues::get_bool(std::string_view key) const {
  const Place& v = place(key, false, "true or false");
  if (v.type != Type::boolean) fail(key, "does not hold a boolean");
  return file_.data()[v.offset] != 0;
}

std::string GgufValues::get_string(std::string_view key) const {
  const Place& v = place(key, false, "a string");
  if (v.type != Type::string) fail(key, "does not hold a string");
  return std::string(at(v).string(key));
}

std::vector<std::string> GgufValues::get_strings(std::string_view key) const {
  const Place& v = place(key, true, "an array of strings");
  if (v.type != Type::string) fail(key, "does not hold strings");
  GgufCursor cursor = at(v);
  std::vector<std::string> out;
  for (uint64_t i = 0; i < v.count; ++i) out.emplace_back(cursor.string(key));
  return out;
}

std::vector<int64_t> GgufValues::get_ints(std::string_view key) const {
  const Place& v = place(key, true, "an array of integers");
  GgufCursor cursor = at(v);
  std::vector<int64_t> out;
  for (uint64_t i = 0; i < v.count; ++i) out.push_back(take_int(cursor, v.type, key));
  return out;
}

std::vector<float> GgufValues::get_floats(std::string_view key) const {
  const Place& v = place(key, true, "an array of numbers");
  if (v.type != Type::f32) fail(key, "does not hold 32-bit numbers");
  GgufCursor cursor = at(v);
  std::vector<float> out;
  for (uint64_t i = 0; i < v.count; ++i) out.push_back(cursor.take<float>(key));
  return out;
}

std::optional<int64_t> GgufValues::find_int(std::string_view key, int64_t min, int64_t max) const {
  return has(key) ? std::optional(get_int(key, min, max)) : std::nullopt;
}

std::optional<double> GgufValues::find_number(std::string_view key, double min, double max) const {
  return has(key) ? std::optional(get_number(key, min, max)) : std::nullopt;
}

std::optional<bool> GgufValues::find_bool(std::string_view key) const {
  return has(key) ? std::optional(get_bool(key)) : std::nullopt;
}

std::optional<std::string> GgufValues::find_string(std::string_view key) const {
  return has(key) ? std::optional(get_string(key)) : std::nullopt;
}

}  // namespace cambium
