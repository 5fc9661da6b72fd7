// Where the rows of a ragged batch lie, in the words of a library that counts elements.
#include "cuda/attention_library.h"
#include "cuda/device.cuh"

namespace cambium::gpu {
namespace {

struct Strides {
  int64_t of[kMostOperands];
};

__global__ void attention_layout_kernel(const int32_t* begin, const int32_t* length, int count, int capacity,
                                        Strides strides, int operands, int32_t* lengths, int32_t* offset) {
  const int s = int(blockIdx.x * blockDim.x + threadIdx.x);
  if (s > capacity) return;
  const bool exists = s < count;
  const int64_t row = exists ? begin[s] : begin[count - 1] + length[count - 1];
  if (s < capacity) lengths[s] = exists ? length[s] : 0;
#pragma unroll
  for (int o = 0; o < kMostOperands; ++o)
    if (o < operands) offset[o * (capacity + 4) + s] = int32_t(row * strides.of[o]);
}

}  // namespace

void attention_layout(Stream& stream, const Segments& segments, int64_t capacity, std::span<const int64_t> strides,
                      int32_t* lengths, int32_t* offset) {
  CHECK(segments.count >= 1 && segments.count <= capacity && strides.size() <= size_t(kMostOperands),
        "attention's layout: ", segments.count, " sequences, room for ", capacity, ", ", strides.size(), " operands");
  Strides all{};
  std::copy(strides.begin(), strides.end(), all.of);
  launch(attention_layout_kernel, dim3(unsigned(ceil_div(capacity + 1, 128))), dim3(128), 0, stream,
         segments.begin.data<int32_t>(), segments.length.data<int32_t>(), int(segments.count), int(capacity), all,
         int(strides.size()), lengths, offset);
}

}  // namespace cambium::gpu
