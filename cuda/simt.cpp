// The host twin of a GPU: the fibers behind cuda/simt.h, and a device whose memory is the host's.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "core/memory.h"
#include "cuda/launch.h"
#include "cuda/runtime.h"
#include "cuda/testing.h"

// Pushes the registers that a call preserves (System V ABI of x86-64; AAPCS64 of Arm), stores the stack pointer in
// *save, and takes them from the other stack. Twenty times faster than swapcontext, which asks the
// kernel each time.
extern "C" void cambium_simt_switch(void** save, void* stack);
#if defined(__aarch64__)
constexpr int kFrameWords = 20, kEntryWord = 1;  // of the registers; x30, at which a fiber goes on
asm(R"(
  .text
  .local cambium_simt_switch
  .type cambium_simt_switch, %function
cambium_simt_switch:
  stp x29, x30, [sp, -160]!
  stp x19, x20, [sp, 16]
  stp x21, x22, [sp, 32]
  stp x23, x24, [sp, 48]
  stp x25, x26, [sp, 64]
  stp x27, x28, [sp, 80]
  stp d8, d9, [sp, 96]
  stp d10, d11, [sp, 112]
  stp d12, d13, [sp, 128]
  stp d14, d15, [sp, 144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, 16]
  ldp x21, x22, [sp, 32]
  ldp x23, x24, [sp, 48]
  ldp x25, x26, [sp, 64]
  ldp x27, x28, [sp, 80]
  ldp d8, d9, [sp, 96]
  ldp d10, d11, [sp, 112]
  ldp d12, d13, [sp, 128]
  ldp d14, d15, [sp, 144]
  ldp x29, x30, [sp], 160
  ret
  .size cambium_simt_switch, .-cambium_simt_switch
)");
#else
// Of six registers, where a fiber goes on, and the 8 bytes that a function finds above its own.
constexpr int kFrameWords = 8, kEntryWord = 6;
asm(R"(
  .text
  .local cambium_simt_switch
  .type cambium_simt_switch, @function
cambium_simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size cambium_simt_switch, .-cambium_simt_switch
)");
#endif

namespace cambium::gpu {
namespace simt {
namespace {

constexpr size_t kStackBytes = 128 << 10;
constexpr int kWarp = 32;

struct Fiber {
  dim3 index;
  int lane = 0, warp = 0;
  bool done = false;
  Barrier at = Barrier::none;
  unsigned exchanges = 0;
  char* stack = nullptr;  // taken when the thread first runs, given back when it ends
  void* stack_pointer = nullptr;
};

// A launch in progress.
struct Machine {
  const std::function<void()>* body = nullptr;
  const LaunchSite* site = nullptr;
  std::vector<Fiber> fibers;
  std::vector<int> order;
  std::vector<uint64_t> exchange;  // [warps, 2, 32]
  std::vector<std::unique_ptr<char[]>> stacks;
  std::vector<char*> free_stacks;
  std::unique_ptr<unsigned char[]> shared;
  Fiber* current = nullptr;
  void* scheduler = nullptr;  // its stack pointer
  std::exception_ptr error;   // thrown by a thread
};

Machine machine;
std::mutex machine_in_use;
unsigned shuffle_seed = 0;

void fiber_main() {
  try {
    (*machine.body)();
  } catch (...) {
    machine.error = std::current_exception();
  }
  machine.current->done = true;
  cambium_simt_switch(&machine.current->stack_pointer, machine.scheduler);
}

void start(Fiber& f) {
  if (machine.free_stacks.empty()) {
    machine.stacks.emplace_back(new char[kStackBytes]);
    machine.free_stacks.push_back(machine.stacks.back().get());
  }
  f.stack = machine.free_stacks.back();
  machine.free_stacks.pop_back();
  auto top = reinterpret_cast<void**>((reinterpret_cast<uintptr_t>(f.stack) + kStackBytes) & ~uintptr_t(15));
  void** frame = top - kFrameWords;  // what the switch takes
  std::fill(frame, top, nullptr);
  frame[kEntryWord] = reinterpret_cast<void*>(fiber_main);
  f.stack_pointer = frame;
}

// After an error: some stacks hold fibers that never end.
void forget_stacks() {
  machine.stacks.clear();
  machine.free_stacks.clear();
}

void resume(Fiber& f) {
  if (!f.stack) start(f);
  machine.current = &f;
  threadIdx = f.index;
  cambium_simt_switch(&machine.scheduler, f.stack_pointer);
  if (f.done) machine.free_stacks.push_back(f.stack);
  if (machine.error) {
    forget_stacks();
    std::rethrow_exception(std::exchange(machine.error, nullptr));
  }
}

[[noreturn]] void fail(const char* what, const Fiber& waiting, const Fiber& missing) {
  forget_stacks();
  const auto& where = machine.site->where;
  throw Error(text("simt: ", where.file_name(), ":", where.line(), ": block (", blockIdx.x, ",", blockIdx.y, ",",
                   blockIdx.z, "): ", what, ": thread (", waiting.index.x, ",", waiting.index.y, ",", waiting.index.z,
                   ") waits, thread (", missing.index.x, ",", missing.index.y, ",", missing.index.z,
                   missing.done ? ") has ended" : ") waits elsewhere"));
}

// Runs a warp until its threads have ended or wait for the block.
void run_warp(Fiber** fibers, int count) {
  for (;;) {
    for (int i = 0; i < count; ++i)
      if (!fibers[i]->done && fibers[i]->at == Barrier::none) resume(*fibers[i]);
    Fiber *waiting = nullptr, *other = nullptr;
    for (int i = 0; i < count; ++i) (fibers[i]->at == Barrier::warp ? waiting : other) = fibers[i];
    if (!waiting) return;
    if (other) fail("a warp's shuffle or barrier that not all its threads reach", *waiting, *other);
    for (int i = 0; i < count; ++i) fibers[i]->at = Barrier::none;
  }
}

void run_block(dim3 block, std::mt19937& random) {
  const int threads = int(machine.fibers.size()), warps = (threads + kWarp - 1) / kWarp;
  for (int i = 0; i < threads; ++i)
    machine.fibers[size_t(i)] = {
        .index = dim3(unsigned(i) % block.x, unsigned(i) / block.x % block.y, unsigned(i) / block.x / block.y),
        .lane = i % kWarp,
        .warp = i / kWarp};
  std::vector<int> warp_order(static_cast<size_t>(warps));
  std::iota(warp_order.begin(), warp_order.end(), 0);
  for (;;) {
    if (shuffle_seed) std::shuffle(warp_order.begin(), warp_order.end(), random);
    for (const int w : warp_order) {
      Fiber* fibers[kWarp];
      const int count = std::min(kWarp, threads - w * kWarp);
      for (int i = 0; i < count; ++i) fibers[i] = &machine.fibers[size_t(w * kWarp + i)];
      if (shuffle_seed) std::shuffle(fibers, fibers + count, random);
      run_warp(fibers, count);
    }
    Fiber *waiting = nullptr, *ended = nullptr;
    for (Fiber& f : machine.fibers) (f.done ? ended : waiting) = &f;
    if (!waiting) return;
    if (ended) fail("__syncthreads() that not all threads reach", *waiting, *ended);
    for (Fiber& f : machine.fibers) f.at = Barrier::none;
  }
}

}  // namespace

void wait(Barrier barrier) {
  Fiber& f = *machine.current;
  f.at = barrier;
  cambium_simt_switch(&f.stack_pointer, machine.scheduler);
}

void* shared_memory() { return machine.shared.get(); }
int lane() { return machine.current->lane; }

uint64_t* exchange() {
  // Two sets in turn: a lane may write its next value while others still read this one.
  Fiber& f = *machine.current;
  return &machine.exchange[size_t((f.warp * 2 + int(f.exchanges++ % 2)) * kWarp)];
}

void run(dim3 grid, dim3 block, size_t shared_bytes, const LaunchSite& site, const std::function<void()>& body) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  const unsigned threads = block.x * block.y * block.z;
  // The limits of compute capability 8.0.
  CHECK(threads >= 1 && threads <= 1024 && grid.y <= 65535 && grid.z <= 65535 && shared_bytes <= 163 << 10,
        "simt: ", site.where.file_name(), ":", site.where.line(), ": grid ", grid.x, "x", grid.y, "x", grid.z, ", ",
        threads, " threads, ", shared_bytes, " bytes of shared memory: more than a device takes");
  std::lock_guard lock(machine_in_use);
  machine.body = &body;
  machine.site = &site;
  machine.fibers.resize(threads);
  machine.exchange.assign((threads + kWarp - 1) / kWarp * 2 * kWarp, 0);
  machine.shared.reset(new unsigned char[shared_bytes + 1]);
  blockDim = block;
  gridDim = grid;
  std::mt19937 random(shuffle_seed);
  for (unsigned z = 0; z < grid.z; ++z)
    for (unsigned y = 0; y < grid.y; ++y)
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = dim3(x, y, z);
        std::memset(machine.shared.get(), 0xff, shared_bytes);
        run_block(block, random);
      }
}

}  // namespace simt

void shuffle_threads(unsigned seed) { simt::shuffle_seed = seed; }
std::string driver_advice(int, int) { return "this build needs no driver"; }

// The device.

bool is_real() { return false; }
int device_count() { return 1; }

void check_device(Device device) {
  throw InputError(text("--device gpu:", int(device.index),
                        ": this build has no GPU code\n"
                        "Build with the CUDA toolkit (12.4 or newer): cmake --preset gpu && cmake --build --preset "
                        "gpu"));
}

DeviceProperties properties(Device) { return {.name = "host (simt)", .major = 8, .minor = 0, .multiprocessors = 1}; }

void* allocate(Device, size_t bytes) {
  void* block = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (block) std::memset(block, 0xff, bytes);
  return block;
}
void release(Device, void* block) { std::free(block); }
void* allocate_pinned(size_t bytes) { return allocate(Device::gpu(), bytes); }
void release_pinned(void* block) { std::free(block); }

void copy(Stream&, void* dst, const void* src, size_t bytes) {
  if (bytes) std::memmove(dst, src, bytes);
}
void upload(Stream& s, void* dst, const void* src, size_t bytes) { copy(s, dst, src, bytes); }
std::shared_ptr<Buffer> upload_beside(Device, const void*, size_t) { return nullptr; }
void fill(Stream&, void* dst, int byte, size_t bytes) {
  if (bytes) std::memset(dst, byte, bytes);
}
void synchronize(Stream&) {}
Stream& stream(Device device, Queue queue) {
  static Stream streams[3];
  Stream& s = streams[size_t(queue)];
  s.device = device;
  return s;
}
Stream& default_stream(Device device) { return stream(device, Queue::compute); }

struct Event::State {};
Event::Event(Device) {}
Event::~Event() = default;
void Event::record(Stream&) {}
void Event::wait_in(Stream&) const {}
bool Event::reached() const { return true; }
void Event::synchronize() const {}

}  // namespace cambium::gpu
