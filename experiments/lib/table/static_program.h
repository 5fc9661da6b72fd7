// The main of an item that trains nothing: counts, and correlations of released files.
#pragma once

#include <functional>
#include <string>

#include "experiments/lib/table/report.h"

namespace cambium {

// plan says that there is nothing to compute; run and show print the report. Takes the options of other programs.
int static_program(int argc, char** argv, const std::string& name, const std::string& description,
                   const std::function<Report()>& report);

}  // namespace cambium
