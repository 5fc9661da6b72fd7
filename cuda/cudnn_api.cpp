#include "cuda/cudnn_api.h"

#include <dlfcn.h>

#include <optional>

#include "core/error.h"

namespace cambium::gpu {
namespace {

constexpr const char* kName = "libcudnn.so.9";
constexpr size_t kOldest = 90800;  // the first that plans for a device by its properties

struct Loaded {
  std::optional<CudnnApi> api;
  std::string why;
};

Loaded load() {
  void* library = dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  if (!library) return {{}, text(kName, " is not on this machine (", dlerror(), ")")};
  CudnnApi api{};
  std::string missing;
  const auto find = [&](auto& call, const char* name) {
    call = reinterpret_cast<std::remove_reference_t<decltype(call)>>(dlsym(library, name));
    if (!call && missing.empty()) missing = name;
  };
  find(api.version, "cudnnGetVersion"), find(api.error_string, "cudnnGetErrorString");
  find(api.last_error, "cudnnGetLastErrorString");
  find(api.create, "cudnnCreate"), find(api.set_stream, "cudnnSetStream");
  find(api.create_descriptor, "cudnnBackendCreateDescriptor");
  find(api.destroy_descriptor, "cudnnBackendDestroyDescriptor");
  find(api.set_attribute, "cudnnBackendSetAttribute"), find(api.get_attribute, "cudnnBackendGetAttribute");
  find(api.finalize, "cudnnBackendFinalize"), find(api.execute, "cudnnBackendExecute");
  find(api.create_tensor, "cudnnCreateTensorDescriptor"), find(api.destroy_tensor, "cudnnDestroyTensorDescriptor");
  find(api.set_tensor, "cudnnSetTensor4dDescriptor");
  find(api.softmax_forward, "cudnnSoftmaxForward"), find(api.softmax_backward, "cudnnSoftmaxBackward");
  if (!missing.empty()) return {{}, text(kName, " has no ", missing)};
  if (api.version() < kOldest)
    return {{}, text(kName, " is version ", api.version(), ", at least ", kOldest, " is needed")};
  return {api, ""};
}

}  // namespace

const CudnnApi* cudnn_library(std::string* why) {
  static const Loaded loaded = load();
  if (why) *why = loaded.why;
  return loaded.api ? &*loaded.api : nullptr;
}

}  // namespace cambium::gpu
