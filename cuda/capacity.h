// Sizes rounded up, so that what is prepared once (a recorded step, a library's plan) serves batches of about the same
// size.
#pragma once

#include <compare>
#include <cstdint>

namespace cambium::gpu {

struct Capacity {
  int64_t sequences, rows;
  auto operator<=>(const Capacity&) const = default;
};

// Sequences to multiples of 16, the rows of the longest one to multiples of 256.
constexpr Capacity capacity_for(int64_t sequences, int64_t rows) {
  return {(sequences + 15) / 16 * 16, (rows + 255) / 256 * 256};
}

}  // namespace cambium::gpu
