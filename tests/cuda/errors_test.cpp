// What is said when the GPU cannot be used: no device, another architecture, an old driver, no memory left. Devices
// that an environment variable describes (an emulator's) are asked for in a process of their own.
#include <unistd.h>

#include <cstdio>
#include <functional>

#include "core/tensor.h"
#include "cuda/runtime.h"
#include "tests/cuda/sides.h"

namespace cambium::testing {
namespace {

std::string error_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const InputError& e) {
    return text("InputError: ", e.what());
  } catch (const Error& e) {
    return text("Error: ", e.what());
  }
  return "no error";
}

// What a test of this program prints when it runs under other environment variables.
std::string output_of(const std::string& variables, const std::string& test) {
  const std::string command = text("env CAMBIUM_EXACT_MEMORY=0 ", variables, " GTEST_ALSO_RUN_DISABLED_TESTS=1 /proc/",
                                   getpid(), "/exe --gtest_filter=", test, " 2>&1");
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return "popen failed";
  std::string output;
  char part[4096];
  while (const size_t n = fread(part, 1, sizeof part, pipe)) output.append(part, n);
  pclose(pipe);
  return output;
}

void expect_says(const std::string& output, std::initializer_list<const char*> words) {
  for (const char* word : words)
    EXPECT_NE(output.find(word), std::string::npos) << "\"" << word << "\" is not said in:\n" << output;
}

// Run by the tests below.
TEST(GpuErrorsChild, DISABLED_CheckDevice) {
  std::puts(error_of([] { gpu::check_device(Device::gpu()); }).c_str());
}
TEST(GpuErrorsChild, DISABLED_FillMemory) {
  std::puts(error_of([] {
              const Tensor live = Tensor::empty({8 << 20}, DType::f32, Device::gpu());
              { const Tensor freed = Tensor::empty({4 << 20}, DType::f32, Device::gpu()); }
              Tensor::empty({int64_t(64) << 20}, DType::f32, Device::gpu());
            }).c_str());
}
TEST(GpuErrorsChild, DISABLED_CachedMemoryIsGivenBackFirst) {
  std::puts(error_of([] {
              { const Tensor freed = Tensor::empty({16 << 20}, DType::f32, Device::gpu()); }
              Tensor::empty({20 << 20}, DType::f32, Device::gpu());
            }).c_str());
}

TEST(GpuErrors, ADeviceThatWorksIsAccepted) {
  if (!gpu::is_real() || gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  EXPECT_EQ(error_of([] { gpu::check_device(Device::gpu()); }), "no error");
}

TEST(GpuErrors, AnIndexBeyondTheLastDevice) {
  if (!gpu::is_real() || gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  expect_says(error_of([] { gpu::check_device(Device::gpu(100)); }), {"InputError", "--device gpu:100", "numb"});
}

TEST(GpuErrors, ABuildWithoutGpuCodeSaysHowToGetOne) {
  if (gpu::is_real()) GTEST_SKIP() << "this build has GPU code";
  expect_says(error_of([] { gpu::check_device(Device::gpu()); }), {"InputError", "no GPU code", "cmake --preset gpu"});
}

TEST(GpuErrors, NoDevice) {
  if (!is_emulated()) GTEST_SKIP() << "no emulated GPU";
  expect_says(output_of("CUDAEMU_DEVICES=0", "GpuErrorsChild.DISABLED_CheckDevice"),
              {"InputError", "--device gpu", "no NVIDIA GPU is visible"});
}

TEST(GpuErrors, AnOldArchitecture) {
  if (!is_emulated()) GTEST_SKIP() << "no emulated GPU";
  expect_says(output_of("CUDAEMU_SM=75", "GpuErrorsChild.DISABLED_CheckDevice"),
              {"InputError", "compute capability 7.5", "at least 8.0"});
}

TEST(GpuErrors, AnArchitectureThatTheBuildHasNoCodeFor) {
  if (!is_emulated()) GTEST_SKIP() << "no emulated GPU";
  expect_says(output_of("CUDAEMU_SM=80 CUDAEMU_ON_ERROR=return", "GpuErrorsChild.DISABLED_CheckDevice"),
              {"InputError", "compute capability 8.0", "cannot run", "CMAKE_CUDA_ARCHITECTURES=native"});
}

TEST(GpuErrors, AnOldDriver) {
  if (!gpu::is_real()) GTEST_SKIP() << "this build has no GPU code";
  expect_says(gpu::driver_advice(12020, 13000), {"supports CUDA 12.2", "needs 13.0", "update the driver"});
  expect_says(gpu::driver_advice(0, 13000), {"no NVIDIA driver"});
}

TEST(GpuErrors, OutOfMemory) {
  if (!is_emulated()) GTEST_SKIP() << "no emulated GPU";
  expect_says(
      output_of("CUDAEMU_MEM_MB=100", "GpuErrorsChild.DISABLED_FillMemory"),
      {"Error: out of GPU memory", "256 MiB asked for", "32 MiB in use", "16 MiB cached", "Lower --batch-size"});
}

TEST(GpuErrors, CachedMemoryIsGivenBackBeforeMemoryIsOut) {
  if (!is_emulated()) GTEST_SKIP() << "no emulated GPU";
  expect_says(output_of("CUDAEMU_MEM_MB=100", "GpuErrorsChild.DISABLED_CachedMemoryIsGivenBackFirst"), {"no error"});
}

}  // namespace
}  // namespace cambium::testing
