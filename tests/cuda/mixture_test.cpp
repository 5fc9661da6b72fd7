// Mixed batches on the GPU side: the bits of single runs there.
#include "tests/support/mixture.h"
#include "cuda/testing.h"

namespace cambium::testing {
namespace {

TEST(GpuMixture, EqualsSingleRuns) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  for (const auto& [name, dtype] : {std::pair{"llama_gqa", DType::f32}, {"bart", DType::f32}, {"bert", DType::bf16}}) {
    Mixed m(name, dtype, Device::gpu());
    check_mixture(m, false);
  }
}

TEST(GpuMixture, WritesTheTextsOfSingleRuns) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  Mixed m("t5", DType::f32, Device::gpu());
  check_mixed_generation(m);
}

}  // namespace
}  // namespace cambium::testing
