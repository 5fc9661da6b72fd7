// What is fed with damaged files: one target for each loader, for the deterministic runs of fuzz_test.cpp and for
// libFuzzer (libfuzzer.cpp).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cambium::testing {

struct FuzzTarget {
  const char* name;
  const char* corpus;  // folder in tests/fuzz/corpus
  // Reads the input as a user's command would. Whatever is wrong with it becomes an Error, which is caught; anything
  // else that leaves it is a defect.
  void (*run)(std::string_view input);
};
const std::vector<FuzzTarget>& fuzz_targets();

}  // namespace cambium::testing
