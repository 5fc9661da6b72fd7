#include "experiments/lib/table/machine.h"

#include <sys/utsname.h>

#include <fstream>

#include "core/error.h"
#include "core/threads.h"

namespace cambium {

std::string machine_description() {
  std::string processor = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.starts_with("model name")) {
      processor = line.substr(std::min(line.size(), line.find(':') + 2));
      break;
    }
  utsname system = {};
  ::uname(&system);
  return text(processor, ", ", threads(), threads() == 1 ? " thread, " : " threads, ", system.sysname, " ",
              system.release);
}

}  // namespace cambium
