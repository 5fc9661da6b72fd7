// What this machine is, for reports.
#pragma once

#include <string>

namespace cambium {

// "AMD EPYC 9R14, 2 threads, Linux 6.1"
std::string machine_description();

}  // namespace cambium
