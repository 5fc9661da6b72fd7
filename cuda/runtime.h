// The GPU as a machine: which there are, what they can, their queues of work and the events between
// these. (Memory and copies: namespace gpu in core/memory.h.)
#pragma once

#include <memory>
#include <string>

#include "core/memory.h"

namespace cambium::gpu {

// Whether commands may offer --device gpu: false in a build whose GPU is the host
// (CAMBIUM_GPU=simt).
bool is_real();

// Throws InputError unless the device can be used, saying why (no GPU code in this build, no
// device, driver too old, no such index, device too old) and what to do.
void check_device(Device);

struct DeviceProperties {
  std::string name;
  int major = 0, minor = 0;  // compute capability
  int multiprocessors = 0;
  int64_t memory = 0, free_memory = 0;  // bytes
  int driver = 0, runtime = 0;          // CUDA versions, 13000 for 13.0
};
DeviceProperties properties(Device);

// Each device has three queues, whose work runs at the same time; events order it.
enum class Queue { compute, copies, communication };
Stream& stream(Device, Queue);

// A place in a queue.
class Event {
 public:
  explicit Event(Device);
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(Stream&);         // all that the stream was given so far
  void wait_in(Stream&) const;  // later work of the stream waits for it; the host does not
  bool reached() const;
  void synchronize() const;  // the host waits

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Host memory that a GPU reads and writes by itself: copies to and from it run beside the host.
void* allocate_pinned(size_t bytes);
void release_pinned(void*);

class PinnedBuffer {
 public:
  explicit PinnedBuffer(size_t bytes) : data_(allocate_pinned(bytes)), bytes_(bytes) {}
  ~PinnedBuffer() { release_pinned(data_); }
  PinnedBuffer(const PinnedBuffer&) = delete;
  PinnedBuffer& operator=(const PinnedBuffer&) = delete;
  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  void* data_;
  size_t bytes_;
};

}  // namespace cambium::gpu
