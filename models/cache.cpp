#include "models/cache.h"

#include <algorithm>

#include "core/kernels/rows.h"

namespace cambium {

DecoderCache::DecoderCache(const ModelConfig& config, std::span<const int32_t> capacity, DType dtype, Device device)
    : length(capacity.size(), 0), capacity(capacity.begin(), capacity.end()) {
  int32_t rows = 0;
  for (const int32_t c : capacity) {
    active.push_back(int32_t(begin.size()));
    begin.push_back(rows);
    rows += c;
  }
  layers.resize(size_t(config.decoder.layers));
  for (Layer::Caches& layer : layers)
    layer.self.rows = Tensor::empty({rows, 2 * config.decoder.kv_width()}, dtype, device);
}

Tensor DecoderCache::append(const Layout& layout, Device device) {
  std::vector<int32_t> rows(layout.rows.size());
  for (size_t s = 0; s < layout.begin.size(); ++s) {
    const size_t slot = size_t(active[s]);
    CHECK(length[slot] + layout.length[s] <= capacity[slot], "the decoding cache has room for ", capacity[slot],
          " rows of a sequence");
    for (int32_t i = 0; i < layout.length[s]; ++i) rows[size_t(layout.begin[s] + i)] = begin[slot] + length[slot]++;
  }
  return Tensor::of(rows, device);
}

OwnedSegments DecoderCache::segments(Device device) const {
  std::vector<int32_t> first, count;
  for (const int32_t slot : active) first.push_back(begin[size_t(slot)]), count.push_back(length[size_t(slot)]);
  return {Tensor::of(first, device), Tensor::of(count, device), longest()};
}

int64_t DecoderCache::longest() const {
  int32_t most = 0;
  for (const int32_t slot : active) most = std::max(most, length[size_t(slot)]);
  return most;
}

void DecoderCache::copy(std::span<const int32_t> from, std::span<const int32_t> to) {
  std::vector<int32_t> source, target, moved_length;
  for (size_t i = 0; i < from.size(); ++i) {
    const size_t a = size_t(from[i]), b = size_t(to[i]);
    moved_length.push_back(length[a]);
    CHECK(length[a] <= capacity[b], "the decoding cache has no room for a longer beam");
    for (int32_t r = 0; r < length[a]; ++r) source.push_back(begin[a] + r), target.push_back(begin[b] + r);
  }
  for (size_t i = 0; i < to.size(); ++i) length[size_t(to[i])] = moved_length[i];
  if (source.empty()) return;
  for (Layer::Caches& layer : layers) {
    const Tensor& rows = layer.self.rows;
    const Tensor moved = Tensor::empty({int64_t(source.size()), rows.cols()}, rows.dtype(), rows.device());
    DISPATCH(gather_rows, rows.stream())(rows.stream(), rows, Tensor::of(source, rows.device()), 1, false, moved);
    DISPATCH(scatter_rows, rows.stream())(rows.stream(), moved, Tensor::of(target, rows.device()), rows);
  }
}

}  // namespace cambium
