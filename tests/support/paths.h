// Where tests find the sources, their data and the programs.
#pragma once

#include <string>

namespace cambium::testing {

// Paths below the source tree, and of programs of this build. Functions of one small file, so that the tests themselves
// compile to the same objects in every checkout.
std::string source_path(const std::string& relative);  // "tests/golden/README.md"
std::string program_path(const std::string& name);     // "cambium"

}  // namespace cambium::testing
