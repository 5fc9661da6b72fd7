// How much memory this process has resident, and its peak over a part of its life.
#pragma once

#include <cstdint>

namespace cambium {

// Forgets the peak so far and gives memory that is free back to the system, so that the next peak is that of what
// follows. False where the system does not let the peak be reset (the peak is then that of the whole process).
bool reset_resident_peak();
// Bytes; what is mapped from files and was touched counts too. -1: not known.
int64_t resident_peak();

}  // namespace cambium
