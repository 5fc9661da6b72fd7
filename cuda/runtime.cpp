// The CUDA runtime behind cuda/runtime.h and the memory functions of core/memory.h.
#include "cuda/runtime.h"

#include <cxxabi.h>

#include <array>
#include <cstdlib>
#include <map>
#include <mutex>

#include "core/kernels/elementwise.h"
#include "core/tensor.h"
#include "cuda/check.h"
#include "cuda/recording.h"
#include "cuda/testing.h"

namespace cambium::gpu {
namespace {

constexpr int kOldest = 80;  // compute capability: bfloat16 arithmetic and asynchronous copies to shared memory

// Each call sets its device: no thread relies on which one is current.
void use(Device device) { CUDA_CHECK(cudaSetDevice(device.index)); }

cudaStream_t handle_of(const Stream& s) { return static_cast<cudaStream_t>(s.handle); }

std::string version(int v) { return text(v / 1000, ".", v % 1000 / 10); }

std::string demangled(const char* name) {
  int status = 0;
  char* readable = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string result = readable ? readable : name;
  std::free(readable);
  return result;
}

}  // namespace

std::string driver_advice(int driver, int runtime) {
  if (driver == 0) return "no NVIDIA driver is installed";
  return text("the driver supports CUDA ", version(driver), ", this build needs ", version(runtime),
              ": update the driver or build with an older toolkit");
}

std::string explain(cudaError_t error) {
  std::string advice;
  switch (error) {
    case cudaErrorMemoryAllocation: advice = "lower --batch-size or the sequence length"; break;
    case cudaErrorNoDevice: advice = "no NVIDIA GPU is visible (CUDA_VISIBLE_DEVICES hides some)"; break;
    case cudaErrorInsufficientDriver: {
      int driver = 0, runtime = 0;
      cudaDriverGetVersion(&driver);
      cudaRuntimeGetVersion(&runtime);
      advice = driver_advice(driver, runtime);
      break;
    }
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
      advice = "this build has no code for the device: build with -DCMAKE_CUDA_ARCHITECTURES=native";
      break;
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
      advice = "an earlier kernel failed; run with CUDA_LAUNCH_BLOCKING=1 to see which";
      break;
    default: break;
  }
  return text(cudaGetErrorString(error), advice.empty() ? "" : ": ", advice);
}

void launch_failed(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, const std::source_location& where,
                   cudaError_t error) {
  const char* name = nullptr;
  if (cudaFuncGetName(&name, kernel) != cudaSuccess || !name) name = "kernel";
  int device = 0, most = 0;
  if (cudaGetDevice(&device) == cudaSuccess &&
      cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess)
    check_input(size_t(most) >= shared_bytes, demangled(name), " needs ", shared_bytes,
                " bytes of shared memory, this GPU gives a block ", most,
                "\nTake an A100, an H100 or a later one of their kind, --dtype bf16, or smaller heads");
  throw Error(text(demangled(name), " (", where.file_name(), ":", where.line(), ", grid ", grid.x, "x", grid.y, "x",
                   grid.z, ", block ", block.x, "x", block.y, "x", block.z, ", ", shared_bytes,
                   " bytes of shared memory): ", explain(error)));
}

bool is_real() { return true; }

void shuffle_threads(unsigned) {}

int device_count() {
  static const int count = [] {
    int n = 0;
    return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
  }();
  return count;
}

namespace {

// Runs the smallest of kernels: whether this build has code for the device shows only then.
void try_device(Device device, const DeviceProperties& p) {
  try {
    const Tensor one = Tensor::of(std::vector<float>{1}).to(device);
    scale(one.stream(), one, 2, one);
    CHECK(one.to(Device::cpu()).data<float>()[0] == 2, "2 * 1 is ", one.to(Device::cpu()).data<float>()[0]);
  } catch (const Error& e) {
    throw InputError(text("--device gpu:", int(device.index), ": ", p.name, " (compute capability ", p.major, ".",
                          p.minor, ") cannot run this build's kernels\n", e.what()));
  }
}

}  // namespace

void check_device(Device device) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  check_input(error == cudaSuccess, "--device gpu: ", explain(error));
  check_input(device.index >= 0 && device.index < count, "--device gpu:", int(device.index), ": there ",
              count == 1 ? "is 1 GPU, number 0" : text("are ", count, " GPUs, numbers from 0"));
  const DeviceProperties p = properties(device);
  check_input(p.major * 10 + p.minor >= kOldest, "--device gpu:", int(device.index), ": ", p.name,
              " has compute capability ", p.major, ".", p.minor, ", at least ", kOldest / 10, ".", kOldest % 10,
              " is needed (A100 and later)\nUse --device cpu, or another GPU");
  try_device(device, p);
}

DeviceProperties properties(Device device) {
  cudaDeviceProp p;
  CUDA_CHECK(cudaGetDeviceProperties(&p, device.index));
  DeviceProperties result{.name = p.name, .major = p.major, .minor = p.minor, .multiprocessors = p.multiProcessorCount};
  use(device);
  size_t free = 0, total = 0;
  CUDA_CHECK(cudaMemGetInfo(&free, &total));
  CUDA_CHECK(cudaDriverGetVersion(&result.driver));
  CUDA_CHECK(cudaRuntimeGetVersion(&result.runtime));
  result.memory = int64_t(total);
  result.free_memory = int64_t(free);
  return result;
}

void* allocate(Device device, size_t bytes) {
  use(device);
  void* block = nullptr;
  const cudaError_t error = cudaMalloc(&block, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // it is not an error of the next launch
    return nullptr;
  }
  CUDA_CHECK(error);
  return block;
}

void release(Device, void* block) {
  if (Recording* recording = Recording::current()) return recording->release_later(block);
  cudaFree(block);  // fails only at the end of the process, when the driver is gone before the buffers
}

void* allocate_pinned(size_t bytes) {
  void* block = nullptr;
  CUDA_CHECK(cudaMallocHost(&block, bytes ? bytes : 1));
  return block;
}

void release_pinned(void* block) { cudaFreeHost(block); }

void copy(Stream& s, void* dst, const void* src, size_t bytes) {
  if (bytes == 0) return;
  use(s.device);
  CUDA_CHECK(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, handle_of(s)));
}

void fill(Stream& s, void* dst, int byte, size_t bytes) {
  if (bytes == 0) return;
  use(s.device);
  CUDA_CHECK(cudaMemsetAsync(dst, byte, bytes, handle_of(s)));
}

void synchronize(Stream& s) { CUDA_CHECK(cudaStreamSynchronize(handle_of(s))); }

Stream& stream(Device device, Queue queue) {
  // Never destroyed: buffers of static storage may outlive any order of destruction.
  static std::mutex mutex;
  static auto* streams = new std::map<int, std::array<Stream, 3>>();
  std::lock_guard lock(mutex);
  auto [found, is_new] = streams->try_emplace(device.index);
  if (is_new) {
    use(device);
    for (Stream& s : found->second) {
      cudaStream_t handle = nullptr;
      CUDA_CHECK(cudaStreamCreateWithFlags(&handle, cudaStreamNonBlocking));
      s = {device, handle};
    }
  }
  return found->second[size_t(queue)];
}

Stream& default_stream(Device device) { return stream(device, Queue::compute); }

struct Event::State {
  cudaEvent_t handle = nullptr;
};

Event::Event(Device device) : state_(std::make_unique<State>()) {
  use(device);
  CUDA_CHECK(cudaEventCreateWithFlags(&state_->handle, cudaEventDisableTiming));
}
Event::~Event() { cudaEventDestroy(state_->handle); }
void Event::record(Stream& s) { CUDA_CHECK(cudaEventRecord(state_->handle, handle_of(s))); }
void Event::wait_in(Stream& s) const { CUDA_CHECK(cudaStreamWaitEvent(handle_of(s), state_->handle, 0)); }
bool Event::reached() const {
  const cudaError_t error = cudaEventQuery(state_->handle);
  if (error == cudaErrorNotReady) return false;
  CUDA_CHECK(error);
  return true;
}
void Event::synchronize() const { CUDA_CHECK(cudaEventSynchronize(state_->handle)); }

}  // namespace cambium::gpu
