// CUDA's words on the host, so that g++ compiles the kernels as they are and tests run them without
// a GPU: a fiber for each thread of a block, one block after the other.
//
// Threads run in ascending order, or shuffled (gpu::shuffle_threads): a result that changes is a
// race. A barrier or shuffle that not all threads (of the block, of the warp) reach is an error.
// Dynamic shared memory starts as 0xff bytes (NaN, -1). Warps take full masks only. Everything
// finer (bounds, uninitialised reads, asynchrony, tensor cores) is for a device, real or emulated.
#pragma once

#include <math.h>
#include <string.h>

#include <cstdint>
#include <functional>

#include "core/error.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__
#define __shared__ static
#define __launch_bounds__(...)

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

// One device, used by one launch at a time: plain globals.
inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace cambium::gpu {

inline constexpr bool kHasTensorCores = false;

namespace simt {

// Runs body once for each thread of each block. Defined, with all that is behind it, in
// cuda/simt.cpp.
void run(dim3 grid, dim3 block, size_t shared_bytes, const LaunchSite&, const std::function<void()>& body);

enum class Barrier : uint8_t { none, warp, block };
void wait(Barrier);
void* shared_memory();
// This thread's lane, and where its warp puts the values of a shuffle: [32], another one each time.
int lane();
uint64_t* exchange();

inline void check_mask(unsigned mask) { CHECK(mask == ~0u, "simt: the mask ", mask, "; whole warps only"); }

template <class T>
T shuffle(unsigned mask, T value, int source) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  check_mask(mask);
  uint64_t* values = exchange();
  memcpy(&values[lane()], &value, sizeof(T));
  wait(Barrier::warp);
  memcpy(&value, &values[source & 31], sizeof(T));
  return value;
}

}  // namespace simt

template <class... P>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, LaunchSite site,
            std::type_identity_t<P>... arguments) {
  simt::run(grid, block, shared_bytes, site, [&] { kernel(arguments...); });
}

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(simt::shared_memory());
}

}  // namespace cambium::gpu

inline void __syncthreads() { cambium::gpu::simt::wait(cambium::gpu::simt::Barrier::block); }
inline void __syncwarp(unsigned = ~0u) { cambium::gpu::simt::wait(cambium::gpu::simt::Barrier::warp); }
template <class T>
T __shfl_sync(unsigned mask, T value, int source) {
  return cambium::gpu::simt::shuffle(mask, value, source);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return cambium::gpu::simt::shuffle(mask, value, cambium::gpu::simt::lane() ^ bits);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
  const int lane = cambium::gpu::simt::lane();
  return cambium::gpu::simt::shuffle(mask, value, lane < int(delta) ? lane : lane - int(delta));
}
inline unsigned __ballot_sync(unsigned mask, bool predicate) {
  using namespace cambium::gpu::simt;
  check_mask(mask);
  uint64_t* votes = exchange();  // of lanes that do not exist: always 0
  votes[lane()] = predicate;
  wait(Barrier::warp);
  unsigned set = 0;
  for (int i = 0; i < 32; ++i) set |= unsigned(votes[i]) << i;
  return set;
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(unsigned x) { return x ? __builtin_clz(x) : 32; }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
template <class T>
T atomicAdd(T* address, T value) {
  const T old = *address;
  *address += value;
  return old;
}
template <class T>
T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
T max(T a, T b) {
  return a < b ? b : a;
}
