// Computations as graphs of cuDNN's operations (its backend interface), and the plans that execute them.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "core/error.h"
#include "cuda/cudnn_api.h"

namespace cambium::gpu {

// What the library says to something that it cannot do; anything else is an Error.
class CudnnRefusal : public Error {
 public:
  using Error::Error;
};

// One of the library's descriptors; goes with the last handle.
class CudnnDescriptor {
 public:
  CudnnDescriptor(const CudnnApi&, cudnnBackendDescriptorType_t);

  CudnnDescriptor& set(cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, int64_t count, const void* values);
  CudnnDescriptor& set(cudnnBackendAttributeName_t, cudnnDataType_t);
  CudnnDescriptor& set(cudnnBackendAttributeName_t, int64_t);
  CudnnDescriptor& set(cudnnBackendAttributeName_t, bool);
  CudnnDescriptor& set(cudnnBackendAttributeName_t, const CudnnDescriptor&);
  void finalize();
  // The number of elements that were written; `most` have place.
  int64_t get(cudnnBackendAttributeName_t, cudnnBackendAttributeType_t, int64_t most, void* values) const;
  cudnnBackendDescriptor_t handle() const { return handle_.get(); }

 private:
  void check(cudnnStatus_t, const char* call) const;

  const CudnnApi* api_;
  std::shared_ptr<void> handle_;
};

// A tensor of a graph: in memory under a number, given by value, or between two operations.
struct CudnnTensor {
  std::array<int64_t, 4> size{}, stride{};  // [batch, heads, rows, columns], in elements
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  std::shared_ptr<const CudnnDescriptor> descriptor;

  explicit operator bool() const { return descriptor != nullptr; }
};

// Where a plan's numbered tensors lie: on the device, or, by value, on the host.
using CudnnPointers = std::map<int64_t, const void*>;

class CudnnPlan {
 public:
  CudnnPlan(const CudnnApi&, CudnnDescriptor plan);
  int64_t workspace() const { return workspace_; }  // bytes
  void execute(cudnnHandle_t, const CudnnPointers&, void* workspace) const;

 private:
  const CudnnApi& api_;
  CudnnDescriptor plan_;
  int64_t workspace_ = 0;
};

class CudnnGraph {
 public:
  explicit CudnnGraph(const CudnnApi& api) : api_(api) {}

  // number: 1 to 999. `offset`, int32 [batch + 1, 1, 1, 1]: where each batch entry's rows begin, in elements.
  CudnnTensor memory(int64_t number, std::array<int64_t, 4> size, std::array<int64_t, 4> stride, cudnnDataType_t,
                     const CudnnTensor& offset = {});
  CudnnTensor value(int64_t number, cudnnDataType_t = CUDNN_DATA_FLOAT);                 // one element, on the host
  CudnnTensor between(std::array<int64_t, 4> size, cudnnDataType_t = CUDNN_DATA_FLOAT);  // contiguous
  CudnnTensor between(std::array<int64_t, 4> size, std::array<int64_t, 4> stride, cudnnDataType_t,
                      const CudnnTensor& offset = {});

  // Results that are not given become tensors between operations.
  CudnnTensor pointwise(cudnnPointwiseMode_t, const CudnnTensor& x, const CudnnTensor& b = {}, CudnnTensor y = {});
  CudnnTensor compare(cudnnPointwiseMode_t, const CudnnTensor& x, const CudnnTensor& b);  // booleans
  CudnnTensor index(const CudnnTensor& x, int axis);                                      // int32
  CudnnTensor select(const CudnnTensor& mask, const CudnnTensor& x, const CudnnTensor& otherwise);
  CudnnTensor reduce(cudnnReduceTensorOp_t, const CudnnTensor& x, const CudnnTensor& y);
  CudnnTensor reshape(const CudnnTensor& x, const CudnnTensor& y);
  // c [.., M, N] = a [.., M, K] b [.., K, N], of which batch entry i uses rows[i], columns[i], inner[i] (absent: all).
  struct Extent {
    CudnnTensor rows, columns, inner;
  };
  CudnnTensor matmul(const CudnnTensor& a, const CudnnTensor& b, const CudnnTensor& c, const Extent&);

  // The first of the library's proposals for the device that works, and, if asked for, gives the same bits each time.
  // Throws CudnnRefusal if there is none.
  CudnnPlan plan(const CudnnDescriptor& device, bool deterministic) const;

 private:
  CudnnTensor tensor(int64_t number, CudnnTensor form, bool is_virtual, bool by_value, const CudnnTensor& offset);
  CudnnTensor operate(cudnnPointwiseMode_t, cudnnDataType_t math, const CudnnTensor& x, const CudnnTensor& b,
                      const CudnnTensor& mask, CudnnTensor y, std::optional<int64_t> axis = {});
  std::vector<CudnnDescriptor> proposals(const CudnnDescriptor& graph, const CudnnDescriptor& device,
                                         cudnnBackendHeurMode_t) const;
  bool repeats(const CudnnDescriptor& proposal) const;

  const CudnnApi& api_;
  std::vector<CudnnDescriptor> operations_;
  int64_t next_number_ = 1000;
};

}  // namespace cambium::gpu
