// Where this checkout is: the one file that is compiled with its path.
#include "tests/support/paths.h"

namespace cambium::testing {

std::string source_path(const std::string& relative) { return CAMBIUM_SOURCE_DIR "/" + relative; }
std::string program_path(const std::string& name) { return CAMBIUM_PROGRAMS "/" + name; }

}  // namespace cambium::testing
