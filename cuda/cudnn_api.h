// The calls of cuDNN that are used here, as a table: filled from the library when it is first asked for (programs run
// without cuDNN, too), or by tests with calls that record.
#pragma once

#include <cudnn_graph.h>
#include <cudnn_ops.h>

#include <string>

namespace cambium::gpu {

struct CudnnApi {
  decltype(&::cudnnGetVersion) version;
  decltype(&::cudnnGetErrorString) error_string;
  decltype(&::cudnnGetLastErrorString) last_error;
  decltype(&::cudnnCreate) create;
  decltype(&::cudnnSetStream) set_stream;
  decltype(&::cudnnBackendCreateDescriptor) create_descriptor;
  decltype(&::cudnnBackendDestroyDescriptor) destroy_descriptor;
  decltype(&::cudnnBackendSetAttribute) set_attribute;
  decltype(&::cudnnBackendGetAttribute) get_attribute;
  decltype(&::cudnnBackendFinalize) finalize;
  decltype(&::cudnnBackendExecute) execute;
  // For tests alone.
  decltype(&::cudnnCreateTensorDescriptor) create_tensor;
  decltype(&::cudnnDestroyTensorDescriptor) destroy_tensor;
  decltype(&::cudnnSetTensor4dDescriptor) set_tensor;
  decltype(&::cudnnSoftmaxForward) softmax_forward;
  decltype(&::cudnnSoftmaxBackward) softmax_backward;
};

// The library of this machine, loaded once. Null where there is none that fits; `why` then says why.
const CudnnApi* cudnn_library(std::string* why = nullptr);

}  // namespace cambium::gpu
