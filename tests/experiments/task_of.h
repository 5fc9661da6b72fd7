// A task from a record that stands in a test.
#pragma once

#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "experiments/lib/tasks/task.h"
#include "tests/support/files.h"

namespace cambium::testing {

inline Task task_of(const std::string& record, const std::string& folder) {
  return {read_record(parse_json(record, "record"), "record"), folder};
}

}  // namespace cambium::testing
