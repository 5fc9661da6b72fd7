// Grouping of rows for the gradients of look-ups.
#include "autograd/ops/rows.h"

#include <algorithm>
#include <numeric>

namespace cambium {

RowMap::RowMap(std::vector<int32_t> index, int64_t source_rows, Device device, int32_t fixed)
    : host_(std::move(index)), source_rows_(source_rows), fixed_(fixed) {
  for (size_t n = 0; n < host_.size(); ++n)
    CHECK(host_[n] < source_rows, "row ", n, " asks for row ", host_[n], " of ", source_rows);
  index_ = Tensor::of(host_, device);
}

const RowMap::Groups& RowMap::groups() const {
  if (groups_) return *groups_;
  std::vector<int32_t> row(host_.size());
  std::iota(row.begin(), row.end(), 0);
  std::erase_if(row, [&](int32_t n) { return host_[size_t(n)] < 0 || host_[size_t(n)] == fixed_; });
  std::stable_sort(row.begin(), row.end(), [&](int32_t a, int32_t b) { return host_[size_t(a)] < host_[size_t(b)]; });
  std::vector<int32_t> begin, target;
  for (size_t i = 0; i < row.size(); ++i) {
    const int32_t source = host_[size_t(row[i])];
    if (target.empty() || target.back() != source) begin.push_back(int32_t(i)), target.push_back(source);
  }
  begin.push_back(int32_t(row.size()));
  auto groups = std::make_shared<Groups>();
  const Device device = index_.device();
  *groups = {Tensor::of(row, device), Tensor::of(begin, device), Tensor::of(target, device), int64_t(target.size())};
  groups_ = std::move(groups);
  return *groups_;
}

}  // namespace cambium
