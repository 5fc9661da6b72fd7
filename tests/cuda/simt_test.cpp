// The host twin of a GPU finds what it promises to find. Builds without nvcc only.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "core/memory.h"
#include "cuda/launch.h"
#include "cuda/runtime.h"
#include "cuda/testing.h"

namespace cambium::gpu {
namespace {

Stream& stream() { return default_stream(Device::gpu()); }

std::string error_of(const std::function<void()>& run) {
  try {
    run();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

__global__ void indices_kernel(std::vector<int>* seen) {
  const int thread = int((threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x);
  const int block = int((blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x);
  seen->push_back(block * int(blockDim.x * blockDim.y * blockDim.z) + thread);
}

TEST(Simt, RunsEveryThreadOfEveryBlockOnce) {
  for (const unsigned seed : {0u, 3u}) {
    shuffle_threads(seed);
    std::vector<int> seen;
    launch(indices_kernel, dim3(2, 3, 2), dim3(5, 2, 7), 0, stream(), &seen);
    shuffle_threads(0);
    std::vector<int> all(2 * 3 * 2 * 5 * 2 * 7);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(std::is_sorted(seen.begin(), seen.end()), seed == 0);
    std::sort(seen.begin(), seen.end());
    EXPECT_EQ(seen, all);
  }
}

TEST(Simt, AnEmptyGridDoesNothing) {
  std::vector<int> seen;
  launch(indices_kernel, dim3(0), dim3(32), 0, stream(), &seen);
  launch(indices_kernel, dim3(1, 0), dim3(32), 0, stream(), &seen);
  EXPECT_TRUE(seen.empty());
}

// y[i] = x[i] + x[i + 1], through shared memory.
__global__ void neighbours_kernel(const float* x, float* y, bool with_barrier) {
  float* shared = dynamic_shared<float>();
  shared[threadIdx.x] = x[threadIdx.x];
  if (with_barrier) __syncthreads();
  y[threadIdx.x] = shared[threadIdx.x] + shared[(threadIdx.x + 1) % blockDim.x];
}

TEST(Simt, AMissingBarrierShows) {
  std::vector<float> x(64), y(64);
  std::iota(x.begin(), x.end(), 1.f);
  for (const unsigned seed : {0u, 5u}) {
    shuffle_threads(seed);
    launch(neighbours_kernel, 1, 64, 64 * sizeof(float), stream(), x.data(), y.data(), true);
    for (int i = 0; i < 64; ++i) EXPECT_EQ(y[size_t(i)], float(i + 1 + (i + 1) % 64 + 1));
    launch(neighbours_kernel, 1, 64, 64 * sizeof(float), stream(), x.data(), y.data(), false);
    EXPECT_TRUE(std::any_of(y.begin(), y.end(), [](float v) { return std::isnan(v); }));
  }
  shuffle_threads(0);
}

__global__ void early_return_kernel(int last) {
  if (int(threadIdx.x) > last) return;
  __syncthreads();
}

__global__ void early_return_before_shuffle_kernel(int last) {
  if (int(threadIdx.x) > last) return;
  __shfl_xor_sync(~0u, 1, 1);
}

__global__ void two_barriers_kernel() {
  if (threadIdx.x < 7) __syncwarp();
  else __syncthreads();
}

TEST(Simt, BarriersThatNotAllThreadsReach) {
  const std::string block = error_of([] { launch(early_return_kernel, 1, 64, 0, stream(), 10); });
  EXPECT_NE(block.find("simt_test.cpp"), std::string::npos) << block;
  EXPECT_NE(block.find("__syncthreads() that not all threads reach: thread (10,0,0) waits, thread "
                       "(63,0,0) has ended"),
            std::string::npos)
      << block;
  const std::string shuffle = error_of([] { launch(early_return_before_shuffle_kernel, 1, 32, 0, stream(), 10); });
  EXPECT_NE(shuffle.find("a warp's shuffle or barrier that not all its threads reach"), std::string::npos) << shuffle;
  const std::string mixed = error_of([] { launch(two_barriers_kernel, 1, 32, 0, stream()); });
  EXPECT_NE(mixed.find("waits elsewhere"), std::string::npos) << mixed;
  // A whole warp may leave before a shuffle, and errors leave the machine usable.
  EXPECT_EQ(error_of([] { launch(early_return_before_shuffle_kernel, 1, 64, 0, stream(), 31); }), "no error");
}

__global__ void shuffles_kernel(int* out, unsigned mask) {
  const int i = int(threadIdx.x), lane = i % 32;
  out[i * 4] = __shfl_xor_sync(mask, i, 5);
  out[i * 4 + 1] = int(__shfl_sync(mask, int64_t(i) << 33, 3) >> 33);
  out[i * 4 + 2] = __shfl_up_sync(mask, i, 2);
  out[i * 4 + 3] = int(__ballot_sync(mask, lane % 3 == 0));
}

TEST(Simt, Shuffles) {
  std::vector<int> out(64 * 4);
  for (const unsigned seed : {0u, 9u}) {
    shuffle_threads(seed);
    launch(shuffles_kernel, 1, 64, 0, stream(), out.data(), ~0u);
    for (int i = 0; i < 64; ++i) {
      const int* seen = &out[size_t(i) * 4];
      const int lane = i % 32, warp = i / 32 * 32;
      EXPECT_EQ(seen[0], warp + (lane ^ 5));
      EXPECT_EQ(seen[1], warp + 3);
      EXPECT_EQ(seen[2], lane < 2 ? i : i - 2);
      EXPECT_EQ(unsigned(seen[3]), 0x49249249u);
    }
  }
  shuffle_threads(0);
  EXPECT_NE(error_of([&] { launch(shuffles_kernel, 1, 64, 0, stream(), out.data(), 1u); }).find("whole warps only"),
            std::string::npos);
}

TEST(Simt, RefusesWhatNoDeviceTakes) {
  EXPECT_NE(error_of([] { launch(early_return_kernel, 1, 1025, 0, stream(), 2000); }).find("1025 threads"),
            std::string::npos);
  EXPECT_NE(error_of([] { launch(early_return_kernel, dim3(1, 65536), 1, 0, stream(), 2000); }).find("grid 1x65536x1"),
            std::string::npos);
  EXPECT_NE(
      error_of([] { launch(early_return_kernel, 1, 1, 164 << 10, stream(), 2000); }).find("bytes of shared memory"),
      std::string::npos);
}

TEST(Simt, IsNoGpuForCommands) {
  EXPECT_FALSE(is_real());
  EXPECT_EQ(device_count(), 1);
  EXPECT_THROW(check_device(Device::gpu()), InputError);
}

}  // namespace
}  // namespace cambium::gpu
