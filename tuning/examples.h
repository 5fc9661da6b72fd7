// Training examples by number, and the order in which an epoch goes through them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "models/layout.h"

namespace cambium {

// Examples by number: a list in memory, or something that may be larger than that.
class Examples {
 public:
  Examples() = default;
  Examples(std::vector<Sequence> list) : list_(std::move(list)), count_(int64_t(list_.size())) {}
  // identity: a hash of what `at` gives, because going through all of it would take too long.
  Examples(int64_t count, std::function<Sequence(int64_t)> at, std::string identity)
      : at_(std::move(at)), identity_(std::move(identity)), count_(count) {}

  int64_t size() const { return count_; }
  bool empty() const { return count_ == 0; }
  Sequence operator[](int64_t number) const;  // its index is the number
  Batch range(int64_t begin, int64_t end) const;
  bool in_memory() const { return !at_; }
  std::string hash() const;

 private:
  std::vector<Sequence> list_;
  std::function<Sequence(int64_t)> at_;
  std::string identity_;
  int64_t count_ = 0;
};

// A random order of 0 ... count - 1, from (seed, epoch).
std::vector<int32_t> shuffled(int64_t count, uint64_t seed, int64_t epoch);

}  // namespace cambium
