// JSON from outside, parsed with limits.
#include "core/json.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/files.h"
#include "core/json_integer.h"
#include "core/path_kind.h"

namespace cambium {
namespace {

using nlohmann::json;

// Characters of a text; all copies of an iterator count what was taken in one place.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at;
  const char** taken;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    *taken = ++at;
    return *this;
  }
  bool operator!=(const CountingIterator& other) const { return at != other.at; }
  bool operator==(const CountingIterator& other) const { return at == other.at; }
};

// Builds the value while it is read, and stops at what the limits forbid.
class Builder : public nlohmann::json_sax<json> {
 public:
  std::string failure;  // why parsing stopped

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(json::number_integer_t value) override { return put(value); }
  bool number_unsigned(json::number_unsigned_t value) override { return put(value); }
  bool number_float(json::number_float_t value, const std::string&) override { return put(value); }
  bool string(std::string& value) override { return put(std::move(value)); }
  bool binary(json::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(json::object()); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    const auto [entry, fresh] = open_.back()->get_ref<json::object_t&>().try_emplace(name);
    if (!fresh) failure = "the key " + brief(json(name)) + " comes a second time";
    member_ = &entry->second;
    return fresh;
  }

  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& e) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: reason", or "[...] reason"
    failure = e.what();
    for (const std::string_view before : {"] ", "column "})
      if (const size_t at = failure.find(before); at != failure.npos) failure = failure.substr(at + before.size());
    if (const size_t at = failure.find(": "); at < 8) failure = failure.substr(at + 2);
    return false;
  }

  json take() { return std::move(root_); }

 private:
  json* place(json value) {
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back()->is_object()) return &(*member_ = std::move(value));
    return &open_.back()->get_ref<json::array_t&>().emplace_back(std::move(value));
  }
  bool put(json value) {
    place(std::move(value));
    return true;
  }
  bool open(json value) {
    if (int(open_.size()) == kJsonDepth) {
      failure = text("more than ", kJsonDepth, " arrays and objects inside each other");
      return false;
    }
    open_.push_back(place(std::move(value)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  json root_;
  // The open arrays and objects, outermost first. They stay where they are: only the innermost one
  // grows.
  std::vector<json*> open_;
  json* member_ = nullptr;  // of the innermost object: the value that its last key announced
};

std::string line_and_column(std::string_view before) {
  const int64_t line = 1 + std::count(before.begin(), before.end(), '\n');
  const size_t start = before.rfind('\n') + 1;  // npos + 1 is 0
  return text(line, ":", std::max<size_t>(before.size() - start, 1));
}

[[noreturn]] void fail_field(std::string_view name, const json& value, const std::string& expected) {
  throw InputError(text("the field \"", name, "\" is ", brief(value), "; expected ", expected));
}

const json& require_field(const json& object, std::string_view name, const std::string& expected) {
  const json* const value = find_field(object, name);
  check_input(value, "the field \"", name, "\" is missing; expected ", expected);
  return *value;
}

std::string expected_int(int64_t min, int64_t max) {
  if (min == std::numeric_limits<int64_t>::min()) return "an integer";
  if (max == std::numeric_limits<int64_t>::max()) return text("an integer of at least ", min);
  return text("an integer from ", min, " to ", max);
}

std::string expected_number(double min, double max) {
  const double most = std::numeric_limits<double>::max();
  if (min == -most && max == most) return "a number";
  if (max == most) return text("a number of at least ", min);
  if (min == -most) return text("a number of at most ", max);
  return text("a number from ", min, " to ", max);
}

int64_t as_int(std::string_view name, const json& value, int64_t min, int64_t max) {
  if (!is_int(value, min, max)) fail_field(name, value, expected_int(min, max));
  return value.get<int64_t>();
}

double as_number(std::string_view name, const json& value, double min, double max) {
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(number >= min && number <= max)) fail_field(name, value, expected_number(min, max));
  return number;
}

std::string as_string(std::string_view name, const json& value) {
  if (!value.is_string()) fail_field(name, value, "a string");
  return value.get<std::string>();
}

bool as_bool(std::string_view name, const json& value) {
  if (!value.is_boolean()) fail_field(name, value, "true or false");
  return value.get<bool>();
}

}  // namespace

json parse_json(std::string_view source, std::string_view where) {
  check_input(int64_t(source.size()) <= kJsonBytes, where, ": has ", source.size(), " bytes; at most ", kJsonBytes,
              " are parsed");
  const auto fail = [&](size_t end, const std::string& why) {
    throw InputError(text(where, ":", line_and_column(source.substr(0, end)), ": ", why));
  };
  // The parser would take a NUL for the end.
  if (const size_t nul = source.find('\0'); nul != source.npos) fail(nul + 1, "a NUL character");
  const char* taken = source.data();
  Builder builder;
  const CountingIterator begin{source.data(), &taken}, end{source.data() + source.size(), &taken};
  if (!json::sax_parse(begin, end, &builder)) fail(size_t(taken - source.data()), builder.failure);
  return builder.take();
}

json parse_json_file(const std::string& path, int64_t limit) {
  const std::string source = read_text_file(path, std::min(limit, kJsonBytes));
  try {
    return parse_json(source, path);
  } catch (const InputError&) {
    check_contents(path);
    throw;
  }
}

const json* find_field(const json& object, std::string_view name) {
  check_input(object.is_object(), "an object with the field \"", name, "\" is expected, not ", brief(object));
  const auto& fields = object.get_ref<const json::object_t&>();
  const auto found = fields.find(name);
  return found == fields.end() || found->second.is_null() ? nullptr : &found->second;
}

int64_t get_int(const json& object, std::string_view name, int64_t min, int64_t max) {
  return as_int(name, require_field(object, name, expected_int(min, max)), min, max);
}

double get_number(const json& object, std::string_view name, double min, double max) {
  return as_number(name, require_field(object, name, expected_number(min, max)), min, max);
}

std::string get_string(const json& object, std::string_view name) {
  return as_string(name, require_field(object, name, "a string"));
}

bool get_bool(const json& object, std::string_view name) {
  return as_bool(name, require_field(object, name, "true or false"));
}

std::vector<std::string> get_strings(const json& object, std::string_view name) {
  const std::string expected = "an array of strings";
  const json& value = require_field(object, name, expected);
  if (!value.is_array()) fail_field(name, value, expected);
  std::vector<std::string> strings;
  for (const json& item : value) {
    if (!item.is_string()) fail_field(text(name, "[", strings.size(), "]"), item, "a string");
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

std::vector<int64_t> get_ints(const json& object, std::string_view name, int64_t min, int64_t max) {
  const std::string expected = "an array of integers";
  const json& value = require_field(object, name, expected);
  if (!value.is_array()) fail_field(name, value, expected);
  std::vector<int64_t> ints;
  for (const json& item : value) ints.push_back(as_int(text(name, "[", ints.size(), "]"), item, min, max));
  return ints;
}

const json& get_object(const json& object, std::string_view name) {
  const json& value = require_field(object, name, "an object");
  if (!value.is_object()) fail_field(name, value, "an object");
  return value;
}

std::optional<int64_t> find_int(const json& object, std::string_view name, int64_t min, int64_t max) {
  const json* const value = find_field(object, name);
  return value ? std::optional(as_int(name, *value, min, max)) : std::nullopt;
}

std::optional<double> find_number(const json& object, std::string_view name, double min, double max) {
  const json* const value = find_field(object, name);
  return value ? std::optional(as_number(name, *value, min, max)) : std::nullopt;
}

std::optional<std::string> find_string(const json& object, std::string_view name) {
  const json* const value = find_field(object, name);
  return value ? std::optional(as_string(name, *value)) : std::nullopt;
}

std::optional<bool> find_bool(const json& object, std::string_view name) {
  const json* const value = find_field(object, name);
  return value ? std::optional(as_bool(name, *value)) : std::nullopt;
}

std::string brief(const json& value, size_t length) {
  if (value.is_array()) return text("an array of ", value.size());
  if (value.is_object()) return text("an object of ", value.size(), " fields");
  std::string out = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (out.size() > length) out = out.substr(0, length) + "...";
  return out;
}

}  // namespace cambium
