#include "models/cache.h"

#include <algorithm>

#include "core/kernels/rows.h"

namespace cambium {

DecoderCache::DecoderCache(const ModelConfig& config, std::span<const int32_t> capacity, DType dtype, Device device)
    : length(capacity.size(), 0), capacity(capacity.begin(), capacity.end()) {
  int32_t rows = 0;
  for (const int32_t c : capacity) {
    begin.push_back(rows);
    rows += c;
  }
  layers.resize(size_t(config.decoder_layers));
  for (Layer::Caches& layer : layers)
    layer.self.rows = Tensor::empty({rows, 2 * config.kv_heads * config.head_size}, dtype, device);
}

Tensor DecoderCache::append(const Layout& layout, Device device) {
  std::vector<int32_t> rows(layout.rows.size());
  for (size_t s = 0; s < layout.begin.size(); ++s) {
    CHECK(length[s] + layout.length[s] <= capacity[s], "the decoding cache has room for ", capacity[s], " rows of sequence ", s);
    for (int32_t i = 0; i < layout.length[s]; ++i) rows[size_t(layout.begin[s] + i)] = begin[s] + length[s]++;
  }
  return Tensor::of(rows, device);
}

OwnedSegments DecoderCache::segments(Device device) const {
  return {Tensor::of(begin, device), Tensor::of(length, device), *std::max_element(length.begin(), length.end())};
}

void DecoderCache::reorder(std::span<const int32_t> source) {
  std::vector<int32_t> from;  // for each row in use after the move, where it is now
  std::vector<int32_t> to, new_length(source.size());
  for (size_t s = 0; s < source.size(); ++s) {
    const size_t old = size_t(source[s]);
    new_length[s] = length[old];
    CHECK(new_length[s] <= capacity[s], "the decoding cache has no room for a longer beam");
    if (old == s) continue;
    for (int32_t i = 0; i < length[old]; ++i) from.push_back(begin[old] + i), to.push_back(begin[s] + i);
  }
  length = new_length;
  if (from.empty()) return;
  for (Layer::Caches& layer : layers) {
    Tensor& rows = layer.self.rows;
    const Tensor moved = Tensor::empty({int64_t(from.size()), rows.cols()}, rows.dtype(), rows.device());
    DISPATCH(gather_rows, rows.stream())(rows.stream(), rows, Tensor::of(from, rows.device()), 1, false, moved);
    DISPATCH(scatter_rows, rows.stream())(rows.stream(), moved, Tensor::of(to, rows.device()), rows);
  }
}

void DecoderCache::select(std::span<const int32_t> kept) {
  const auto pick = [&](std::vector<int32_t>& values) {
    std::vector<int32_t> picked;
    for (const int32_t s : kept) picked.push_back(values[size_t(s)]);
    values = std::move(picked);
  };
  pick(begin);
  pick(length);
  pick(capacity);
}

}  // namespace cambium
