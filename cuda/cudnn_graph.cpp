#include "cuda/cudnn_graph.h"

#include <algorithm>

namespace cambium::gpu {
namespace {

std::array<int64_t, 4> contiguous(const std::array<int64_t, 4>& size) {
  return {size[1] * size[2] * size[3], size[2] * size[3], size[3], 1};
}

bool is_refusal(cudnnStatus_t status) { return status / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000; }

std::string explain(const CudnnApi& api, cudnnStatus_t status, const char* call) {
  char more[512] = {};
  api.last_error(more, sizeof more);
  return text(call, ": ", api.error_string(status), *more ? ": " : "", more);
}

}  // namespace

// ---- descriptors ----

CudnnDescriptor::CudnnDescriptor(const CudnnApi& api, cudnnBackendDescriptorType_t type) : api_(&api) {
  cudnnBackendDescriptor_t handle = nullptr;
  check(api.create_descriptor(type, &handle), "cudnnBackendCreateDescriptor");
  handle_ = std::shared_ptr<void>(handle, api.destroy_descriptor);
}

void CudnnDescriptor::check(cudnnStatus_t status, const char* call) const {
  if (is_refusal(status)) throw CudnnRefusal(explain(*api_, status, call));
  CHECK(status == CUDNN_STATUS_SUCCESS, explain(*api_, status, call));
}

CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                                      const void* values) {
  check(api_->set_attribute(handle(), name, type, count, values), "cudnnBackendSetAttribute");
  return *this;
}
CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
  return set(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
}
CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, int64_t value) {
  return set(name, CUDNN_TYPE_INT64, 1, &value);
}
CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, bool value) {
  return set(name, CUDNN_TYPE_BOOLEAN, 1, &value);
}
CudnnDescriptor& CudnnDescriptor::set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
  const cudnnBackendDescriptor_t handle = value.handle();
  return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &handle);
}
void CudnnDescriptor::finalize() { check(api_->finalize(handle()), "cudnnBackendFinalize"); }

int64_t CudnnDescriptor::get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t most,
                             void* values) const {
  int64_t count = 0;
  check(api_->get_attribute(handle(), name, type, most, &count, values), "cudnnBackendGetAttribute");
  return count;
}

// ---- tensors ----

CudnnTensor CudnnGraph::tensor(int64_t number, CudnnTensor form, bool is_virtual, bool by_value,
                               const CudnnTensor& offset) {
  constexpr int64_t kAlignment = 16;  // bytes
  CudnnDescriptor d(api_, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, number).set(CUDNN_ATTR_TENSOR_DATA_TYPE, form.type);
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, form.size.data());
  d.set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, form.stride.data());
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
  if (is_virtual) d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, true);
  if (by_value) d.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  if (offset) d.set(CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, *offset.descriptor);
  d.finalize();
  form.descriptor = std::make_shared<CudnnDescriptor>(std::move(d));
  return form;
}

CudnnTensor CudnnGraph::memory(int64_t number, std::array<int64_t, 4> size, std::array<int64_t, 4> stride,
                               cudnnDataType_t type, const CudnnTensor& offset) {
  return tensor(number, {size, stride, type, nullptr}, false, false, offset);
}
CudnnTensor CudnnGraph::value(int64_t number, cudnnDataType_t type) {
  return tensor(number, {{1, 1, 1, 1}, {1, 1, 1, 1}, type, nullptr}, false, true, {});
}
CudnnTensor CudnnGraph::between(std::array<int64_t, 4> size, cudnnDataType_t type) {
  return between(size, contiguous(size), type);
}
CudnnTensor CudnnGraph::between(std::array<int64_t, 4> size, std::array<int64_t, 4> stride, cudnnDataType_t type,
                                const CudnnTensor& offset) {
  return tensor(next_number_++, {size, stride, type, nullptr}, true, false, offset);
}

// ---- operations ----

CudnnTensor CudnnGraph::operate(cudnnPointwiseMode_t mode, cudnnDataType_t math, const CudnnTensor& x,
                                const CudnnTensor& b, const CudnnTensor& mask, CudnnTensor y,
                                std::optional<int64_t> axis) {
  CudnnDescriptor what(api_, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  what.set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode).set(CUDNN_ATTR_POINTWISE_MATH_PREC, math);
  if (axis) what.set(CUDNN_ATTR_POINTWISE_AXIS, *axis);
  what.finalize();
  CudnnDescriptor d(api_, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, what).set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, *x.descriptor);
  if (b) d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b.descriptor);
  if (mask) d.set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, *mask.descriptor);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, *y.descriptor).finalize();
  operations_.push_back(std::move(d));
  return y;
}

CudnnTensor CudnnGraph::pointwise(cudnnPointwiseMode_t mode, const CudnnTensor& x, const CudnnTensor& b,
                                  CudnnTensor y) {
  return operate(mode, CUDNN_DATA_FLOAT, x, b, {}, y ? y : between(x.size));
}
CudnnTensor CudnnGraph::compare(cudnnPointwiseMode_t mode, const CudnnTensor& x, const CudnnTensor& b) {
  return operate(mode, CUDNN_DATA_BOOLEAN, x, b, {}, between(x.size, CUDNN_DATA_BOOLEAN));
}
CudnnTensor CudnnGraph::index(const CudnnTensor& x, int axis) {
  return operate(CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_INT32, x, {}, {}, between(x.size, CUDNN_DATA_INT32), axis);
}
CudnnTensor CudnnGraph::select(const CudnnTensor& mask, const CudnnTensor& x, const CudnnTensor& otherwise) {
  return operate(CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT, x, otherwise, mask, between(x.size));
}

CudnnTensor CudnnGraph::reduce(cudnnReduceTensorOp_t op, const CudnnTensor& x, const CudnnTensor& y) {
  CudnnDescriptor what(api_, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  what.set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &op)
      .set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  what.finalize();
  CudnnDescriptor d(api_, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, what).set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, *x.descriptor);
  d.set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, *y.descriptor).finalize();
  operations_.push_back(std::move(d));
  return y;
}

CudnnTensor CudnnGraph::reshape(const CudnnTensor& x, const CudnnTensor& y) {
  CudnnDescriptor d(api_, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, *x.descriptor)
      .set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, *y.descriptor)
      .finalize();
  operations_.push_back(std::move(d));
  return y;
}

CudnnTensor CudnnGraph::matmul(const CudnnTensor& a, const CudnnTensor& b, const CudnnTensor& c, const Extent& extent) {
  CudnnDescriptor what(api_, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  what.set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT).finalize();
  CudnnDescriptor d(api_, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_MATMUL_DESC, what).set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, *a.descriptor);
  d.set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, *b.descriptor).set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, *c.descriptor);
  const auto limit = [&](cudnnBackendAttributeName_t name, const CudnnTensor& t) {
    if (t) d.set(name, *t.descriptor);
  };
  limit(CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, extent.rows);
  limit(CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, extent.columns);
  limit(CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, extent.inner);
  d.finalize();
  operations_.push_back(std::move(d));
  return c;
}

// ---- plans ----

std::vector<CudnnDescriptor> CudnnGraph::proposals(const CudnnDescriptor& graph, const CudnnDescriptor& device,
                                                   cudnnBackendHeurMode_t mode) const {
  CudnnDescriptor heuristic(api_, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  heuristic.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device).finalize();
  const int64_t count = heuristic.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, nullptr);
  std::vector<CudnnDescriptor> all;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (int64_t i = 0; i < count; ++i) {
    all.emplace_back(api_, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    handles.push_back(all.back().handle());
  }
  if (count)
    all.resize(
        size_t(heuristic.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, handles.data())),
        all[0]);
  return all;
}

bool CudnnGraph::repeats(const CudnnDescriptor& proposal) const {
  const CudnnDescriptor engine(api_, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t handle = engine.handle();
  proposal.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &handle);
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  const int64_t count =
      engine.get(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, notes);
  return std::find(notes, notes + count, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) == notes + count;
}

CudnnPlan CudnnGraph::plan(const CudnnDescriptor& device, bool deterministic) const {
  std::vector<cudnnBackendDescriptor_t> handles;
  for (const CudnnDescriptor& d : operations_) handles.push_back(d.handle());
  CudnnDescriptor graph(api_, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, int64_t(handles.size()), handles.data())
      .finalize();
  std::string last = "it proposes nothing";
  for (const cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK})
    for (const CudnnDescriptor& proposal : proposals(graph, device, mode)) try {
        if (deterministic && !repeats(proposal)) {
          last = "what it proposes does not repeat its bits";
          continue;
        }
        CudnnDescriptor plan(api_, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
        plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, proposal)
            .set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device)
            .finalize();
        return CudnnPlan(api_, std::move(plan));
      } catch (const CudnnRefusal& refusal) {
        last = refusal.what();
      }
  throw CudnnRefusal(last);
}

CudnnPlan::CudnnPlan(const CudnnApi& api, CudnnDescriptor plan) : api_(api), plan_(std::move(plan)) {
  plan_.get(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &workspace_);
}

void CudnnPlan::execute(cudnnHandle_t library, const CudnnPointers& pointers, void* workspace) const {
  std::vector<int64_t> numbers;
  std::vector<const void*> addresses;
  for (const auto& [number, address] : pointers) numbers.push_back(number), addresses.push_back(address);
  CudnnDescriptor pack(api_, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, int64_t(numbers.size()), numbers.data());
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, int64_t(addresses.size()), addresses.data());
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace).finalize();
  const cudnnStatus_t status = api_.execute(library, plan_.handle(), pack.handle());
  CHECK(status == CUDNN_STATUS_SUCCESS, explain(api_, status, "cudnnBackendExecute"));
}

}  // namespace cambium::gpu
