// Memory: a caching allocator for each device, with counters, and scratch space for kernels.
//
// Freed blocks are kept and handed out again: fresh pages cost the CPU a fault for each 4 KiB and a GPU a
// synchronisation. Blocks come in sizes of at most 1/8 waste; a request takes the smallest cached block
// that is at most twice as large. Batches of many lengths would leave blocks of all sizes behind: before a new block
// would bring the total above 9/8 of what was ever in use at once (on a GPU, where giving back waits for all that the
// GPU has to do, above twice of it), those that lay longest go back to the system.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/view.h"

namespace cambium {

// The memory functions of a GPU; src and dst of a copy may lie on either side. Defined in cuda/.
namespace gpu {
int device_count();
void* allocate(Device, size_t bytes);  // null when the device has no more
void release(Device, void*);
void copy(Stream&, void* dst, const void* src, size_t bytes);
void fill(Stream&, void* dst, int byte, size_t bytes);
void synchronize(Stream&);
Stream& default_stream(Device);
}  // namespace gpu

// The stream that work of this thread on the device goes to.
Stream& current_stream(Device);
void synchronize(Device);

// CAMBIUM_EXACT_MEMORY=1: a GPU's blocks have exactly the size asked for and are given back at once, so that what
// checks memory accesses (compute-sanitizer, an emulated device) sees the bounds and the end of every tensor.
bool exact_memory(Device);

class Allocator {
 public:
  struct Counters {
    int64_t live = 0;    // bytes in use
    int64_t peak = 0;    // largest `live` since reset_peak
    int64_t cached = 0;  // bytes freed and kept
    int64_t requests = 0;
  };

  static Allocator& of(Device);

  // At least `bytes` bytes, aligned to 64; throws when the device has no more memory, with the amounts.
  void* allocate(int64_t bytes);
  void release(void* block);
  // Gives cached blocks back to the system.
  void trim();

  Counters counters() const;
  void reset_peak();
  // Tests only: fresh blocks are filled with 0xff bytes (NaN, -1), so that reading them shows.
  void set_poison(bool on) { poison_ = on; }

 private:
  explicit Allocator(Device device) : device_(device) {}
  void* take_cached(int64_t bytes);
  // Gives cached blocks back to the system, those that lay longest first, until at most `kept` bytes are cached.
  void shrink_cache(int64_t kept);

  Device device_;
  mutable std::mutex mutex_;
  struct Cached {
    void* block;
    int64_t since;  // number of the request before it was freed
  };
  std::multimap<int64_t, Cached> cached_;
  std::map<void*, int64_t> sizes_;
  Counters counters_;
  int64_t highest_ = 0;  // largest `live` ever
  bool poison_ = false;
};

// A block of memory; gives it back when the last handle goes.
class Buffer {
 public:
  Buffer(Device device, int64_t bytes);
  // Memory that something else owns (a mapped file): `owner` keeps it alive.
  Buffer(const void* pointer, int64_t bytes, std::shared_ptr<const void> owner);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  Device device() const { return device_; }

 private:
  Device device_;
  void* data_;
  int64_t bytes_;
  std::shared_ptr<const void> owner_;
};

// Uninitialised space for a kernel's partial results, from the caching allocator.
template <class T>
class Scratch {
 public:
  Scratch(Stream& stream, int64_t count)
      : allocator_(Allocator::of(stream.device)),
        data_(static_cast<T*>(allocator_.allocate(count * int64_t(sizeof(T))))) {}
  ~Scratch() { allocator_.release(data_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T* data() const { return data_; }

 private:
  Allocator& allocator_;
  T* data_;
};

}  // namespace cambium
