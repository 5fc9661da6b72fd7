// The decoding cache: keys and values of earlier tokens. All sequences share one buffer a layer, in which each
// is a segment with spare capacity; a beam that is chosen twice is copied.
#pragma once

#include <vector>

#include "models/blocks.h"
#include "models/config.h"

namespace cambium {

struct DecoderCache {
  std::vector<Layer::Caches> layers;
  std::vector<int32_t> begin, length, capacity;  // of each sequence, in rows of self-attention

  // Room for sequences of at most capacity[s] rows each.
  DecoderCache(const ModelConfig&, std::span<const int32_t> capacity, DType, Device);

  int64_t sequences() const { return int64_t(begin.size()); }
  // Rows that the next rows of `layout` are stored in; they count as used from now on.
  Tensor append(const Layout& layout, Device);
  OwnedSegments segments(Device) const;
  // Sequence s continues what sequence source[s] was.
  void reorder(std::span<const int32_t> source);
  // Keeps the sequences named, in this order, without moving rows.
  void select(std::span<const int32_t> kept);
};

}  // namespace cambium
