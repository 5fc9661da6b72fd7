// Kernels that work on many tensors in one launch: what they need to know of each travels in the kernel's arguments,
// so that nothing is copied and launches can be recorded in a graph.
#pragma once

#include <span>

#include "cuda/device.cuh"

namespace cambium::gpu {

// Tensors and how many blocks each has: tensor i has the blocks first[i] ... first[i + 1] - 1 of the grid.
template <class Item>
struct Batch {
  // Kernel arguments have 4 KiB on every driver; some are for the kernel's other arguments.
  static constexpr int kCapacity = (4096 - 192) / int(sizeof(Item) + sizeof(int));

  Item item[kCapacity];
  int first[kCapacity + 1];
  int count;

  // blocks_of(item) gives the number of blocks.
  template <class BlocksOf>
  Batch(std::span<const Item> items, const BlocksOf& blocks_of) : count(int(items.size())) {
    int64_t blocks = 0;
    for (int i = 0; i < count; ++i) {
      item[i] = items[size_t(i)];
      first[i] = int(blocks);
      blocks += blocks_of(item[i]);
      CHECK(blocks < int64_t(1) << 31, "a list of tensors on the GPU: more than 2^31 blocks");
    }
    first[count] = int(blocks);
  }

  int blocks() const { return first[count]; }

  // The tensor that a block works on: the last that starts at it or before.
  __device__ int owner(int block) const {
    int low = 0, high = count - 1;
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (first[middle] <= block) low = middle;
      else high = middle - 1;
    }
    return low;
  }
};

// What a step's judgement says to its update (core/kernels/optimizer.h).
struct Gate {
  const double* value;

  explicit Gate(const ConstView& gate) : value(gate.data<double>()) {}
  __device__ bool shut() const { return value && value[1] == 0; }
  __device__ float factor() const { return value ? float(value[0]) : 1.f; }
};

// Calls run(part) for parts of the list that fit a launch.
template <class Item, class Run>
void for_each_part(std::span<const Item> items, const Run& run) {
  constexpr size_t kMost = size_t(Batch<Item>::kCapacity);
  for (size_t begin = 0; begin < items.size(); begin += kMost)
    run(items.subspan(begin, std::min(kMost, items.size() - begin)));
}

}  // namespace cambium::gpu
