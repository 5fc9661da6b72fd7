// Whether a JSON value is an integer in bounds: the one rule for ids and counts that stand in arrays. (get_int and
// get_ints of core/json.h follow it; get<int64_t>() alone makes -1 of 2^64 - 1.)
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>

namespace cambium {

inline bool is_int(const nlohmann::json& value, int64_t min, int64_t max) {
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t(std::numeric_limits<int64_t>::max())) return false;
  return value.is_number_integer() && value.get<int64_t>() >= min && value.get<int64_t>() <= max;
}

}  // namespace cambium
