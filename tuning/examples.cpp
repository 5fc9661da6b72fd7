#include "tuning/examples.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/random.h"
#include "core/sha256.h"

namespace cambium {

Sequence Examples::operator[](int64_t number) const {
  Sequence s = at_ ? at_(number) : list_[size_t(number)];
  s.index = number;
  return s;
}

Batch Examples::range(int64_t begin, int64_t end) const {
  Batch batch;
  for (int64_t i = begin; i < std::min(end, count_); ++i) batch.push_back((*this)[i]);
  return batch;
}

std::string Examples::hash() const {
  if (at_) return identity_;
  Sha256 sum;
  const auto add = [&](const std::vector<int32_t>& values) {
    const int64_t size = int64_t(values.size());
    sum.update(&size, sizeof size);
    sum.update(values.data(), values.size() * sizeof(int32_t));
  };
  for (const Sequence& s : list_) {
    add(s.ids), add(s.labels);
    if (!s.types.empty()) add(s.types);
  }
  return hex(sum.finish());
}

std::vector<int32_t> shuffled(int64_t count, uint64_t seed, int64_t epoch) {
  std::vector<int32_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  const RandomKey key = random_key(seed, "order", uint64_t(epoch));
  for (int64_t i = count - 1; i > 0; --i) {
    const uint64_t word = philox(key, uint32_t(i), 0, 0, 0).word[0];
    std::swap(order[size_t(i)], order[size_t(word * uint64_t(i + 1) >> 32)]);
  }
  return order;
}

}  // namespace cambium
