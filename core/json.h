// JSON from outside: parsed with limits, read field by field with bounds. Every error names file,
// line and column, or the field, its value and what was expected.
//
// Decided: UTF-8 only, as the standard says, no comments, no NaN and no Infinity. A key that comes
// twice in an object is an error. Integers outside 64 bits become doubles (Hugging Face writes 1e30
// that way), which get_int refuses; numbers outside the range of double are errors. A null field
// counts as absent.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace cambium {

// Arrays and objects inside each other. Files of models and data need less than 16.
inline constexpr int kJsonDepth = 64;
// A parsed text takes up to 16 times its size in memory.
inline constexpr int64_t kJsonBytes = int64_t(256) << 20;

// `where` stands before line and column in messages: a path, "--option", ...
nlohmann::json parse_json(std::string_view text, std::string_view where);
nlohmann::json parse_json_file(const std::string& path, int64_t limit = kJsonBytes);

// The field of an object, or null when it is absent or null.
const nlohmann::json* find_field(const nlohmann::json& object, std::string_view name);

// The field's value, which must be there, of the type and in the bounds (both included).
int64_t get_int(const nlohmann::json& object, std::string_view name, int64_t min = std::numeric_limits<int64_t>::min(),
                int64_t max = std::numeric_limits<int64_t>::max());
double get_number(const nlohmann::json& object, std::string_view name, double min = -std::numeric_limits<double>::max(),
                  double max = std::numeric_limits<double>::max());
std::string get_string(const nlohmann::json& object, std::string_view name);
bool get_bool(const nlohmann::json& object, std::string_view name);
std::vector<std::string> get_strings(const nlohmann::json& object, std::string_view name);
std::vector<int64_t> get_ints(const nlohmann::json& object, std::string_view name,
                              int64_t min = std::numeric_limits<int64_t>::min(),
                              int64_t max = std::numeric_limits<int64_t>::max());
const nlohmann::json& get_object(const nlohmann::json& object, std::string_view name);

// The same where the field may be absent.
std::optional<int64_t> find_int(const nlohmann::json& object, std::string_view name,
                                int64_t min = std::numeric_limits<int64_t>::min(),
                                int64_t max = std::numeric_limits<int64_t>::max());
std::optional<double> find_number(const nlohmann::json& object, std::string_view name,
                                  double min = -std::numeric_limits<double>::max(),
                                  double max = std::numeric_limits<double>::max());
std::optional<std::string> find_string(const nlohmann::json& object, std::string_view name);
std::optional<bool> find_bool(const nlohmann::json& object, std::string_view name);

// A value for a message: as JSON, cut to at most `length` characters.
std::string brief(const nlohmann::json& value, size_t length = 60);

// Calls f; an InputError it throws gets `where` (a path) before its text.
template <class F>
decltype(auto) reading(std::string_view where, F&& f) {
  try {
    return f();
  } catch (const InputError& e) {
    throw InputError(text(where, ": ", e.what()));
  }
}

}  // namespace cambium
