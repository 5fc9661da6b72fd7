// A cuDNN that does nothing but remember what it is told: descriptors with their attributes, and what was executed.
#pragma once

#include <cstring>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "cuda/cudnn_api.h"

namespace cambium::testing {

struct RecordedDescriptor {
  struct Value {
    cudnnBackendAttributeType_t type;
    std::vector<int64_t> numbers;  // addresses for descriptors and pointers
  };

  cudnnBackendDescriptorType_t type;
  std::map<cudnnBackendAttributeName_t, Value> attributes;
  bool finalized = false, destroyed = false;
  int64_t engine = -1;  // which of the library's engines: of engines and their configurations

  bool has(cudnnBackendAttributeName_t name) const { return attributes.count(name) > 0; }
  const std::vector<int64_t>& numbers(cudnnBackendAttributeName_t name) const { return attributes.at(name).numbers; }
  int64_t number(cudnnBackendAttributeName_t name) const { return numbers(name).at(0); }
  const RecordedDescriptor& descriptor(cudnnBackendAttributeName_t name, size_t i = 0) const {
    return *reinterpret_cast<const RecordedDescriptor*>(numbers(name).at(i));
  }
};

class CudnnRecorder {
 public:
  CudnnRecorder() { current = this; }
  ~CudnnRecorder() { current = nullptr; }
  CudnnRecorder(const CudnnRecorder&) = delete;
  CudnnRecorder& operator=(const CudnnRecorder&) = delete;

  // What the library is like. It proposes `engines`; those before `first_repeating` give other bits each time, those
  // before `first_supported` refuse to become a plan.
  bool has_graphs = true;
  int64_t engines = 2, first_repeating = 0, first_supported = 0, workspace = 4096;

  std::deque<RecordedDescriptor> descriptors;  // addresses are kept
  struct Execution {
    const RecordedDescriptor* plan;
    std::map<int64_t, const void*> pointers;
  };
  std::vector<Execution> executions;
  std::function<void(const Execution&)> on_execute;

  std::vector<const RecordedDescriptor*> all(cudnnBackendDescriptorType_t type) const {
    std::vector<const RecordedDescriptor*> found;
    for (const RecordedDescriptor& d : descriptors)
      if (d.type == type) found.push_back(&d);
    return found;
  }

  gpu::CudnnApi api() const {
    return {
        .version = [] { return size_t(CUDNN_VERSION); },
        .error_string = [](cudnnStatus_t s) { return s == CUDNN_STATUS_NOT_SUPPORTED ? "not supported" : "an error"; },
        .last_error = [](char* message, size_t) { *message = 0; },
        .create = [](cudnnHandle_t* h) { return *h = nullptr, CUDNN_STATUS_SUCCESS; },
        .set_stream = [](cudnnHandle_t, cudaStream_t) { return CUDNN_STATUS_SUCCESS; },
        .create_descriptor = [](cudnnBackendDescriptorType_t type,
                                cudnnBackendDescriptor_t* d) { return current->make(type, d); },
        .destroy_descriptor = [](cudnnBackendDescriptor_t d) { return of(d).destroyed = true, CUDNN_STATUS_SUCCESS; },
        .set_attribute = [](cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                            cudnnBackendAttributeType_t type, int64_t count,
                            const void* values) { return current->set(of(d), name, type, count, values); },
        .get_attribute = [](cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t,
                            int64_t most, int64_t* count,
                            void* values) { return current->get(of(d), name, most, count, values); },
        .finalize = [](cudnnBackendDescriptor_t d) { return current->finalize(of(d)); },
        .execute = [](cudnnHandle_t, cudnnBackendDescriptor_t plan,
                      cudnnBackendDescriptor_t pack) { return current->execute(of(plan), of(pack)); },
        .create_tensor = nullptr,
        .destroy_tensor = nullptr,
        .set_tensor = nullptr,
        .softmax_forward = nullptr,
        .softmax_backward = nullptr};
  }

 private:
  static RecordedDescriptor& of(const void* d) { return *static_cast<RecordedDescriptor*>(const_cast<void*>(d)); }

  static size_t size_of(cudnnBackendAttributeType_t type) {
    switch (type) {
      case CUDNN_TYPE_INT64:
      case CUDNN_TYPE_VOID_PTR:
      case CUDNN_TYPE_BACKEND_DESCRIPTOR: return 8;
      case CUDNN_TYPE_BOOLEAN: return 1;
      default: return 4;  // enumerations, int32
    }
  }

  cudnnStatus_t make(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* d) {
    if (!has_graphs) return CUDNN_STATUS_NOT_SUPPORTED;
    *d = &descriptors.emplace_back(RecordedDescriptor{type, {}});
    return CUDNN_STATUS_SUCCESS;
  }
  cudnnStatus_t set(RecordedDescriptor& d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                    int64_t count, const void* values) {
    if (d.finalized) return CUDNN_STATUS_BAD_PARAM;
    RecordedDescriptor::Value v{type, std::vector<int64_t>(size_t(count), 0)};
    for (int64_t i = 0; i < count; ++i)  // little-endian
      std::memcpy(&v.numbers[size_t(i)], static_cast<const char*>(values) + size_t(i) * size_of(type), size_of(type));
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR)
      for (const int64_t n : v.numbers)
        if (!reinterpret_cast<const RecordedDescriptor*>(n)->finalized && !is_from_library(n))
          return CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED;
    d.attributes[name] = std::move(v);
    return CUDNN_STATUS_SUCCESS;
  }
  // The heuristic's results need not be finalized.
  static bool is_from_library(int64_t n) { return reinterpret_cast<const RecordedDescriptor*>(n)->engine >= 0; }

  cudnnStatus_t get(RecordedDescriptor& d, cudnnBackendAttributeName_t name, int64_t most, int64_t* count,
                    void* values) {
    const auto handles = static_cast<cudnnBackendDescriptor_t*>(values);
    *count = 1;
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) {
      *count = d.number(CUDNN_ATTR_ENGINEHEUR_MODE) == CUDNN_HEUR_MODE_A ? engines : 0;
      for (int64_t i = 0; i < std::min(most, *count); ++i) of(handles[i]).engine = i;
    } else if (name == CUDNN_ATTR_ENGINECFG_ENGINE) {
      of(handles[0]).engine = d.engine;
    } else if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE) {
      *count = d.engine < first_repeating;
      if (*count) *static_cast<cudnnBackendNumericalNote_t*>(values) = CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
    } else if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
      *static_cast<int64_t*>(values) = workspace;
    } else {
      return CUDNN_STATUS_BAD_PARAM;
    }
    return CUDNN_STATUS_SUCCESS;
  }
  cudnnStatus_t finalize(RecordedDescriptor& d) {
    if (d.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR &&
        d.descriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine < first_supported)
      return CUDNN_STATUS_NOT_SUPPORTED;
    d.finalized = true;
    return CUDNN_STATUS_SUCCESS;
  }
  cudnnStatus_t execute(RecordedDescriptor& plan, RecordedDescriptor& pack) {
    Execution e{&plan, {}};
    const auto &number = pack.numbers(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS),
               &address = pack.numbers(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    for (size_t i = 0; i < number.size(); ++i) e.pointers[number[i]] = reinterpret_cast<const void*>(address.at(i));
    executions.push_back(e);
    if (on_execute) on_execute(e);
    return CUDNN_STATUS_SUCCESS;
  }

  inline static CudnnRecorder* current = nullptr;  // the library's functions have no place for it
};

}  // namespace cambium::testing
