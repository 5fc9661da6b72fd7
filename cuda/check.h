// CUDA_CHECK: calls of the CUDA libraries, whose failures become exceptions that say what to do.
#pragma once

#include <cuda_runtime.h>

#include <source_location>

#include "core/error.h"

namespace cambium::gpu {

// "out of memory: ...", with advice where there is some.
std::string explain(cudaError_t);

// Throws what a refused launch says: kernel, place, sizes, reason.
[[noreturn]] void launch_failed(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes,
                                const std::source_location&, cudaError_t);

}  // namespace cambium::gpu

#define CUDA_CHECK(call)                                                                \
  do {                                                                                  \
    const cudaError_t cuda_error = (call);                                              \
    CHECK(cuda_error == cudaSuccess, #call, ": ", ::cambium::gpu::explain(cuda_error)); \
  } while (false)
