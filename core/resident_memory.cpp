#include "core/resident_memory.h"

#include <malloc.h>

#include <fstream>
#include <string>

#include "core/memory.h"

namespace cambium {

bool reset_resident_peak() {
  Allocator::of(Device::cpu()).trim();
  ::malloc_trim(0);
  std::ofstream file("/proc/self/clear_refs");
  file << "5";  // proc(5): the peak becomes what is resident now
  file.close();
  return bool(file);
}

int64_t resident_peak() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  return -1;
}

}  // namespace cambium
