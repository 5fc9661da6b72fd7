// The targets for libFuzzer: CAMBIUM_FUZZ_TARGET names the one (tests/fuzz/targets.cpp has the list).
//
//   cmake --preset default -B build-fuzz -DCAMBIUM_FUZZ=ON -DCMAKE_C_COMPILER=clang-16 -DCMAKE_CXX_COMPILER=clang++-16
//   cmake --build build-fuzz --target fuzz
//   CAMBIUM_FUZZ_TARGET=Gguf build-fuzz/bin/fuzz -max_total_time=300 FINDINGS tests/fuzz/corpus/gguf
#include <cstdio>
#include <cstdlib>

#include "core/error.h"
#include "tests/fuzz/targets.h"

namespace {

const cambium::testing::FuzzTarget& chosen() {
  const char* const name = std::getenv("CAMBIUM_FUZZ_TARGET");
  for (const auto& target : cambium::testing::fuzz_targets())
    if (name && std::string_view(name) == target.name) return target;
  std::fputs("CAMBIUM_FUZZ_TARGET names no target; there are:", stderr);
  for (const auto& target : cambium::testing::fuzz_targets()) std::fprintf(stderr, " %s", target.name);
  std::fputs("\n", stderr);
  std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const cambium::testing::FuzzTarget& target = chosen();
  try {
    target.run({reinterpret_cast<const char*>(data), size});
  } catch (const cambium::Error&) {
  }
  return 0;
}
