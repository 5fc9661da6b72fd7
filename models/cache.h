// The decoding cache: keys and values of earlier tokens. All sequences share one buffer a layer, in which each
// is a segment with spare capacity; a beam that is chosen twice is copied.
#pragma once

#include <vector>

#include "models/blocks.h"
#include "models/config.h"

namespace cambium {

struct DecoderCache {
  std::vector<Layer::Caches> layers;
  std::vector<int32_t> begin, length, capacity;  // of each slot, in rows of self-attention
  std::vector<int32_t> active;                   // the slots of the next batch's sequences

  // One slot for each sequence of at most capacity[s] rows; all are active.
  DecoderCache(const ModelConfig&, std::span<const int32_t> capacity, DType, Device);

  // Rows that the rows of `layout` are stored in; they count as used from now on.
  Tensor append(const Layout& layout, Device);
  OwnedSegments segments(Device) const;  // of the active slots
  int64_t longest() const;               // rows of an active slot, at most
  // Slot to[i] becomes what slot from[i] was, all at once.
  void copy(std::span<const int32_t> from, std::span<const int32_t> to);
};

}  // namespace cambium
