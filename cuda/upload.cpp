// Uploads. The host waits for none of them (they go through pinned memory that is recycled by events), and those of a
// step's indices do not wait for the kernels of the steps before: they have a queue of their own.
#include "core/upload.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <utility>

#include "core/memory.h"
#include "cuda/recording.h"
#include "cuda/runtime.h"

namespace cambium::gpu {
namespace {

// Where small uploads wait for their turn in a stream: two halves, of which one is filled while the other drains.
class Staging {
 public:
  static constexpr size_t kHalf = 1 << 20;

  static Staging& of(const Stream& s) {
    static std::mutex mutex;
    static auto* all = new std::map<void*, Staging>();  // never destroyed: the driver may be gone first
    std::lock_guard lock(mutex);
    return all->try_emplace(s.handle, s.device).first->second;
  }

  explicit Staging(Device device) : halves_{Half(device), Half(device)} {}

  void copy(Stream& s, void* dst, const void* src, size_t bytes) {
    std::lock_guard lock(mutex_);
    if (used_ + bytes > kHalf) {
      halves_[active_].drained.record(s);
      active_ = 1 - active_, used_ = 0;
      halves_[active_].drained.synchronize();
    }
    char* at = static_cast<char*>(halves_[active_].memory.data()) + used_;
    std::memcpy(at, src, bytes);
    used_ += (bytes + 63) / 64 * 64;
    gpu::copy(s, dst, at, bytes);
  }

 private:
  struct Half {
    PinnedBuffer memory{kHalf};
    Event drained;
    explicit Half(Device device) : drained(device) {}
  };

  std::mutex mutex_;
  std::array<Half, 2> halves_;
  size_t active_ = 0, used_ = 0;
};

// Blocks that are filled through the queue of copies. The allocator's blocks could not be: it hands them out in the
// order of the compute queue, so a copy into one would have to wait for all that this queue was given.
class UploadPool {
 public:
  static constexpr size_t kLargest = 256 << 10;

  static UploadPool& of(Device device) {
    static std::mutex mutex;
    static auto* all = new std::map<int, UploadPool>();  // never destroyed: its blocks may be given back late
    std::lock_guard lock(mutex);
    return all->try_emplace(device.index, device).first->second;
  }

  explicit UploadPool(Device device)
      : device_(device), compute_(stream(device, Queue::compute)), copies_(stream(device, Queue::copies)) {}

  std::shared_ptr<Buffer> upload(const void* src, size_t bytes) {
    std::shared_ptr<Block> block = take(std::bit_ceil(std::max<size_t>(bytes, 512)));
    block->used.wait_in(copies_);
    Staging::of(copies_).copy(copies_, block->memory.data(), src, bytes);
    block->copied.record(copies_);
    block->copied.wait_in(compute_);
    return handle(std::move(block));
  }

 private:
  struct Block {
    Buffer memory;
    Event used, copied;  // by the last kernels that were given it; by the last copy

    Block(Device device, size_t bytes, Stream& compute) : memory(device, int64_t(bytes)), used(device), copied(device) {
      used.record(compute);  // by whom the allocator had it before
    }
  };

  // The block that has lain longest; a new one while that is in use.
  std::shared_ptr<Block> take(size_t bytes) {
    constexpr int kMost = 64;  // of a size
    std::lock_guard lock(mutex_);
    auto& [free, count] = blocks_[bytes];
    if (free.empty() || (!free.front()->used.reached() && count < kMost)) {
      ++count;
      return std::make_shared<Block>(device_, bytes, compute_);
    }
    std::shared_ptr<Block> block = std::move(free.front());
    free.pop_front();
    return block;
  }

  // What the tensors share; the last of them gives the block back.
  std::shared_ptr<Buffer> handle(std::shared_ptr<Block> block) {
    Buffer* memory = &block->memory;
    return {memory, [this, block = std::move(block)](Buffer*) mutable { give_back(std::move(block)); }};
  }

  void give_back(std::shared_ptr<Block> block) {
    // What is recorded runs later.
    if (Recording* recording = Recording::current()) return recording->hold(handle(std::move(block)));
    std::lock_guard lock(mutex_);
    auto& [free, count] = blocks_[size_t(block->memory.bytes())];
    try {
      block->used.record(compute_);
      free.push_back(std::move(block));
    } catch (const Error&) {  // the device has failed, which is being said
      --count;
    }
  }

  Device device_;
  Stream &compute_, &copies_;
  std::mutex mutex_;
  struct Blocks {
    std::deque<std::shared_ptr<Block>> free;
    int count = 0;  // free or not
  };
  std::map<size_t, Blocks> blocks_;
};

}  // namespace

void upload(Stream& s, void* dst, const void* src, size_t bytes) {
  if (bytes == 0) return;
  if (Recording* recording = Recording::current()) return copy(s, dst, recording->keep(src, bytes), bytes);
  if (bytes <= Staging::kHalf) return Staging::of(s).copy(s, dst, src, bytes);
  copy(s, dst, src, bytes);
  synchronize(s);
}

std::shared_ptr<Buffer> upload_beside(Device device, const void* src, size_t bytes) {
  if (bytes == 0 || bytes > UploadPool::kLargest || Recording::current() || exact_memory(device)) return nullptr;
  return UploadPool::of(device).upload(src, bytes);
}

}  // namespace cambium::gpu
