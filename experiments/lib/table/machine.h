// What this machine is, and how fast: for reports and for estimates of time.
#pragma once

#include <string>

#include "experiments/lib/session.h"

namespace cambium {

// "AMD EPYC 9R14, 2 threads, Linux 6.1"
std::string machine_description();
// Operations a second of matrix products in the base's type, measured in a few hundredths of a second; 0 on GPUs, where
// nothing is estimated.
double matmul_speed(const CommonOptions&);

}  // namespace cambium
