// The caching allocator.
#include "core/memory.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace cambium {
namespace {

constexpr int64_t kAlignment = 64;

// Rounds up to 1/8 of the next lower power of two.
int64_t block_size(int64_t bytes) {
  if (bytes <= 512) return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  const int64_t step = int64_t(1) << (60 - __builtin_clzll(uint64_t(bytes - 1)));
  return (bytes + step - 1) / step * step;
}

std::string mebibytes(int64_t bytes) {
  if (bytes >= 10 << 20) return text(bytes >> 20, " MiB");
  return text(std::round(double(bytes) / (1 << 20) * 10) / 10, " MiB");
}

void* system_allocate(Device device, int64_t bytes) {
  if (device.is_gpu()) return gpu::allocate(device, size_t(bytes));
  return std::aligned_alloc(kAlignment, size_t(bytes));
}

void system_release(Device device, void* block) {
  if (device.is_gpu()) gpu::release(device, block);
  else std::free(block);
}

}  // namespace

bool exact_memory(Device device) {
  static const char* wanted = std::getenv("CAMBIUM_EXACT_MEMORY");
  return device.is_gpu() && wanted && wanted[0] == '1';
}

Allocator& Allocator::of(Device device) {
  // Never destroyed: buffers of static storage may outlive any order of destruction.
  static auto* cpu = new Allocator(Device::cpu());
  if (!device.is_gpu()) return *cpu;
  static std::mutex mutex;
  static auto* gpus = new std::map<int, Allocator*>();
  std::lock_guard lock(mutex);
  Allocator*& allocator = (*gpus)[device.index];
  if (!allocator) allocator = new Allocator(device);
  return *allocator;
}

void* Allocator::take_cached(int64_t bytes) {
  const auto found = cached_.lower_bound(bytes);
  if (found == cached_.end() || found->first > 2 * bytes) return nullptr;
  void* block = found->second.block;
  counters_.cached -= found->first;
  cached_.erase(found);
  return block;
}

void Allocator::shrink_cache(int64_t kept) {
  while (!cached_.empty() && counters_.cached > kept) {
    const auto oldest = std::min_element(cached_.begin(), cached_.end(),
                                         [](const auto& a, const auto& b) { return a.second.since < b.second.since; });
    const auto [size, cached] = *oldest;
    cached_.erase(oldest);
    sizes_.erase(cached.block);
    counters_.cached -= size;
    system_release(device_, cached.block);
  }
}

void* Allocator::allocate(int64_t bytes) {
  CHECK(bytes >= 0, "memory: a negative size");
  const int64_t least = std::max<int64_t>(bytes, 1), size = exact_memory(device_) ? least : block_size(least);
  std::lock_guard lock(mutex_);
  void* block = take_cached(size);
  if (!block) {
    const int64_t needed = counters_.live + size;
    // Giving a GPU's memory back waits for all of its work.
    const int64_t most = std::max(highest_, needed);
    shrink_cache((device_.is_gpu() ? 2 * most : most / 8 * 9) - needed);
    const int64_t cached = counters_.cached;
    block = system_allocate(device_, size);
    if (!block && !cached_.empty()) {
      shrink_cache(0);
      block = system_allocate(device_, size);
    }
    CHECK(block, "out of ", device_.is_gpu() ? "GPU" : "CPU", " memory: ", mebibytes(size), " asked for, ",
          mebibytes(counters_.live), " in use, ", mebibytes(cached),
          " cached (given back, in vain)\nLower --batch-size or the sequence length; --recompute and --dtype bf16 need "
          "less");
    sizes_[block] = size;
  }
  counters_.live += sizes_[block];
  counters_.peak = std::max(counters_.peak, counters_.live);
  highest_ = std::max(highest_, counters_.live);
  ++counters_.requests;
  if (poison_ && !device_.is_gpu()) std::memset(block, 0xff, size_t(size));
  return block;
}

void Allocator::release(void* block) {
  if (!block) return;
  std::lock_guard lock(mutex_);
  const int64_t size = sizes_.at(block);
  counters_.live -= size;
  if (exact_memory(device_)) {
    sizes_.erase(block);
    system_release(device_, block);
    return;
  }
  counters_.cached += size;
  cached_.emplace(size, Cached{block, counters_.requests});
}

void Allocator::trim() {
  std::lock_guard lock(mutex_);
  shrink_cache(0);
}

Allocator::Counters Allocator::counters() const {
  std::lock_guard lock(mutex_);
  return counters_;
}

void Allocator::reset_peak() {
  std::lock_guard lock(mutex_);
  counters_.peak = counters_.live;
}

Buffer::Buffer(Device device, int64_t bytes)
    : device_(device), data_(Allocator::of(device).allocate(bytes)), bytes_(bytes) {}

Buffer::Buffer(const void* pointer, int64_t bytes, std::shared_ptr<const void> owner)
    : device_(Device::cpu()), data_(const_cast<void*>(pointer)), bytes_(bytes), owner_(std::move(owner)) {}

Buffer::~Buffer() {
  if (!owner_) Allocator::of(device_).release(data_);
}

Stream& current_stream(Device device) {
  static Stream cpu;
  return device.is_gpu() ? gpu::default_stream(device) : cpu;
}

void synchronize(Device device) {
  if (device.is_gpu()) gpu::synchronize(current_stream(device));
}

}  // namespace cambium
