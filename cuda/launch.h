// The only door to the GPU. nvcc compiles it to a kernel launch, g++ to fibers on the host
// (cuda/simt.h):
//
//   launch(kernel, grid, block, shared_bytes, stream, arguments...)
//
// The arguments are converted to the types of the kernel's parameters. An empty grid does nothing.
// In a kernel dynamic_shared<T>() is the block's shared memory, aligned to 16 bytes.
#pragma once

#include <cstddef>
#include <source_location>
#include <type_traits>

#include "core/view.h"

namespace cambium::gpu {

// The stream of a launch, and where in the source it was asked for: error messages say it.
struct LaunchSite {
  Stream& stream;
  std::source_location where;

  LaunchSite(Stream& stream, std::source_location where = std::source_location::current())
      : stream(stream), where(where) {}
};

}  // namespace cambium::gpu

#if defined(__CUDACC__)

#include "cuda/check.h"

namespace cambium::gpu {

// Whether launchers may choose the variants of kernels that use tensor cores.
inline constexpr bool kHasTensorCores = true;

template <class... P>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, LaunchSite site,
            std::type_identity_t<P>... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const auto address = reinterpret_cast<const void*>(kernel);
  cudaSetDevice(site.stream.device.index);
  constexpr size_t kWithoutAsking = 48 << 10;
  if (shared_bytes > kWithoutAsking) {
    const cudaError_t error =
        cudaFuncSetAttribute(address, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes));
    if (error != cudaSuccess) launch_failed(address, grid, block, shared_bytes, site.where, error);
  }
  kernel<<<grid, block, shared_bytes, static_cast<cudaStream_t>(site.stream.handle)>>>(arguments...);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) launch_failed(address, grid, block, shared_bytes, site.where, error);
}

template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ uint4 shared_memory[];
  return reinterpret_cast<T*>(shared_memory);
}

}  // namespace cambium::gpu

#else
#include "cuda/simt.h"
#endif
