// Preparations: what a few published tasks do to their rows before any template sees them.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "experiments/lib/tasks/row.h"

namespace cambium {

// The fields that a preparation adds; "" adds none. InputError for an unknown name.
std::set<std::string> fields_made_by(const std::string& preparation);
std::vector<std::string> preparations();

// Changes the row. InputError where it cannot be prepared.
void prepare(const std::string& preparation, DataRow&);

}  // namespace cambium
