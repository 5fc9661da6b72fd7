// cuDNN: what it is asked, recorded by a fake; what happens when it refuses; and the real one, where it answers.
#include <functional>

#include "core/kernels/cross_entropy.h"
#include "core/kernels/generation.h"
#include "cuda/attention_library.h"
#include "cuda/cudnn_attention.h"
#include "tests/cuda/cudnn_recorder.h"
#include "tests/cuda/sides.h"
#include "tests/support/golden.h"

namespace cambium::testing {
namespace {

using gpu::CudnnAttention;

// Self-attention of sequences that lie one behind the other, query, key and value in one matrix.
struct Batch {
  AttentionConfig config{.heads = 4, .kv_heads = 2, .head_size = 16, .scale = 0.25f, .causal = true};
  std::vector<int32_t> lengths{5, 100, 1};
  Tensor begin, length, qkv, out, lse, dout, dqkv;

  explicit Batch(std::vector<int32_t> of = {5, 100, 1},
                 AttentionConfig c = {.heads = 4, .kv_heads = 2, .head_size = 16, .scale = 0.25f, .causal = true})
      : config(c), lengths(std::move(of)) {
    std::vector<int32_t> first;
    int32_t rows = 3;  // which belong to no sequence
    for (const int32_t n : lengths) first.push_back(rows), rows += n;
    const Device device = Device::gpu();
    begin = integers(first, device), length = integers(lengths, device);
    qkv = Tensor::zeros({rows, width() + 2 * kv_width()}, DType::bf16, device), dqkv = Tensor::like(qkv);
    out = Tensor::zeros({rows, width()}, DType::bf16, device), dout = Tensor::like(out);
    lse = Tensor::zeros({rows, config.heads}, DType::f32, device);
  }
  int64_t width() const { return config.heads * config.head_size; }
  int64_t kv_width() const { return config.kv_heads * config.head_size; }
  View part(const Tensor& t, int i) const {
    const int64_t at[] = {0, width(), width() + kv_width(), width() + 2 * kv_width()};
    return t.view().columns(at[i], at[i + 1]);
  }
  AttentionInputs inputs() const {
    const Segments s{begin, length, begin.size(), *std::max_element(lengths.begin(), lengths.end())};
    return {.q = part(qkv, 0), .k = part(qkv, 1), .v = part(qkv, 2), .queries = s, .keys = s};
  }
  AttentionGradients gradients() const { return {.dq = part(dqkv, 0), .dk = part(dqkv, 1), .dv = part(dqkv, 2)}; }
  bool forward(CudnnAttention& a) const { return a.forward(current_stream(Device::gpu()), config, inputs(), out, lse); }
  bool backward(CudnnAttention& a) const {
    return a.backward(current_stream(Device::gpu()), config, inputs(), dout, out, lse, gradients());
  }
};

class Cudnn : public ::testing::Test {
 protected:
  void SetUp() override {
    if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  }

  const RecordedDescriptor& tensor(int64_t number) const {
    for (const RecordedDescriptor* d : recorder.all(CUDNN_BACKEND_TENSOR_DESCRIPTOR))
      if (d->number(CUDNN_ATTR_TENSOR_UNIQUE_ID) == number) return *d;
    throw Error(text("no tensor has the number ", number));
  }
  void expect_tensor(int64_t number, std::vector<int64_t> size, std::vector<int64_t> stride, cudnnDataType_t type,
                     bool ragged) const {
    const RecordedDescriptor& t = tensor(number);
    EXPECT_EQ(t.numbers(CUDNN_ATTR_TENSOR_DIMENSIONS), size) << number;
    EXPECT_EQ(t.numbers(CUDNN_ATTR_TENSOR_STRIDES), stride) << number;
    EXPECT_EQ(t.number(CUDNN_ATTR_TENSOR_DATA_TYPE), type) << number;
    EXPECT_FALSE(t.has(CUDNN_ATTR_TENSOR_IS_VIRTUAL)) << number;
    ASSERT_EQ(t.has(CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC), ragged) << number;
    if (!ragged) return;
    const RecordedDescriptor& offset = t.descriptor(CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC);
    EXPECT_EQ(offset.number(CUDNN_ATTR_TENSOR_UNIQUE_ID), number + gpu::kOffset);
    EXPECT_EQ(offset.numbers(CUDNN_ATTR_TENSOR_DIMENSIONS), (std::vector<int64_t>{17, 1, 1, 1}));
    EXPECT_EQ(offset.number(CUDNN_ATTR_TENSOR_DATA_TYPE), CUDNN_DATA_INT32);
  }
  // Kinds of the operations of the last graph, pointwise ones by their mode, in order.
  std::vector<int> operations() const {
    std::vector<int> kinds;
    const RecordedDescriptor& graph = *recorder.all(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR).back();
    for (size_t i = 0; i < graph.numbers(CUDNN_ATTR_OPERATIONGRAPH_OPS).size(); ++i) {
      const RecordedDescriptor& op = graph.descriptor(CUDNN_ATTR_OPERATIONGRAPH_OPS, i);
      kinds.push_back(
          op.type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR
              ? 1000 +
                    int(op.descriptor(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR).number(CUDNN_ATTR_POINTWISE_MODE))
              : int(op.type));
    }
    return kinds;
  }
  // The operation of this kind that writes the tensor.
  const RecordedDescriptor& writer(int64_t number, cudnnBackendDescriptorType_t kind,
                                   cudnnBackendAttributeName_t result) const {
    for (const RecordedDescriptor* op : recorder.all(kind))
      if (op->descriptor(result).number(CUDNN_ATTR_TENSOR_UNIQUE_ID) == number) return *op;
    throw Error(text("no such operation writes ", number));
  }

  CudnnRecorder recorder;
  const gpu::CudnnApi api = recorder.api();
};

constexpr int64_t kRow = (4 + 2 * 2) * 16;  // elements of a row of Batch::qkv

TEST_F(Cudnn, ForwardGraph) {
  CudnnAttention attention(api);
  ASSERT_TRUE(Batch().forward(attention));
  expect_tensor(gpu::kQuery, {16, 4, 256, 16}, {256 * kRow, 16, kRow, 1}, CUDNN_DATA_BFLOAT16, true);
  expect_tensor(gpu::kKey, {16, 2, 16, 256}, {256 * kRow, 16, 1, kRow}, CUDNN_DATA_BFLOAT16, true);
  expect_tensor(gpu::kValue, {16, 2, 256, 16}, {256 * kRow, 16, kRow, 1}, CUDNN_DATA_BFLOAT16, true);
  expect_tensor(gpu::kOut, {16, 4, 256, 16}, {256 * 64, 16, 64, 1}, CUDNN_DATA_BFLOAT16, true);
  expect_tensor(gpu::kLse, {16, 4, 256, 1}, {256 * 4, 1, 4, 1}, CUDNN_DATA_FLOAT, true);
  expect_tensor(gpu::kLengths, {16, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_INT32, false);
  for (const int64_t number : {gpu::kScale, gpu::kLowest})
    EXPECT_EQ(tensor(number).number(CUDNN_ATTR_TENSOR_IS_BY_VALUE), 1);

  const int product = CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR,
            reduction = CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR;
  const auto at = [](cudnnPointwiseMode_t mode) { return 1000 + int(mode); };
  std::vector<int> expected{product, at(CUDNN_POINTWISE_MUL)};
  const std::vector<int> padding{at(CUDNN_POINTWISE_GEN_INDEX),   at(CUDNN_POINTWISE_CMP_LT),
                                 at(CUDNN_POINTWISE_GEN_INDEX),   at(CUDNN_POINTWISE_CMP_LT),
                                 at(CUDNN_POINTWISE_LOGICAL_AND), at(CUDNN_POINTWISE_BINARY_SELECT)};
  const std::vector<int> causal{at(CUDNN_POINTWISE_GEN_INDEX), at(CUDNN_POINTWISE_GEN_INDEX),
                                at(CUDNN_POINTWISE_CMP_GE), at(CUDNN_POINTWISE_BINARY_SELECT)};
  const std::vector<int> softmax{reduction,
                                 at(CUDNN_POINTWISE_SUB),
                                 at(CUDNN_POINTWISE_EXP),
                                 reduction,
                                 at(CUDNN_POINTWISE_LOG),
                                 at(CUDNN_POINTWISE_ADD),
                                 at(CUDNN_POINTWISE_DIV),
                                 product};
  std::vector<int> whole = expected;
  for (const auto* part : {&padding, &causal, &softmax}) whole.insert(whole.end(), part->begin(), part->end());
  EXPECT_EQ(operations(), whole);

  const RecordedDescriptor& last =
      writer(gpu::kOut, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, CUDNN_ATTR_OPERATION_MATMUL_CDESC);
  for (const auto name :
       {CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC})
    EXPECT_EQ(last.descriptor(name).number(CUDNN_ATTR_TENSOR_UNIQUE_ID), gpu::kLengths);
  EXPECT_FALSE(last.has(CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC));

  Batch both_ways;
  both_ways.config.causal = false;
  ASSERT_TRUE(both_ways.forward(attention));
  for (const auto* part : {&padding, &softmax}) expected.insert(expected.end(), part->begin(), part->end());
  EXPECT_EQ(operations(), expected);
}

TEST_F(Cudnn, BackwardGraph) {
  recorder.first_repeating = 1;
  CudnnAttention attention(api);
  ASSERT_TRUE(Batch().backward(attention));
  expect_tensor(gpu::kValue, {16, 2, 16, 256}, {256 * kRow, 16, 1, kRow}, CUDNN_DATA_BFLOAT16, true);
  expect_tensor(gpu::kOutGradient, {16, 4, 256, 16}, {256 * 64, 16, 64, 1}, CUDNN_DATA_BFLOAT16, true);
  expect_tensor(gpu::kQueryGradient, {16, 4, 256, 16}, {256 * kRow, 16, kRow, 1}, CUDNN_DATA_BFLOAT16, true);
  expect_tensor(gpu::kKeyGradient, {16, 2, 256, 16}, {256 * kRow, 16, kRow, 1}, CUDNN_DATA_BFLOAT16, true);
  expect_tensor(gpu::kRowSums, {16, 4, 256, 1}, {4 * 256, 256, 1, 1}, CUDNN_DATA_FLOAT, false);
  // No float32 sum of dq, which atomics would add to; and the engine that gives the same bits each time.
  writer(gpu::kQueryGradient, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, CUDNN_ATTR_OPERATION_MATMUL_CDESC);
  EXPECT_EQ(recorder.executions.at(0).plan->descriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine, 1);
  // A row's sum is multiplied by one, which is no idle work: the library errs without it.
  const RecordedDescriptor& sums =
      writer(gpu::kRowSums, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
  EXPECT_EQ(sums.descriptor(CUDNN_ATTR_OPERATION_POINTWISE_BDESC).number(CUDNN_ATTR_TENSOR_UNIQUE_ID), gpu::kOne);
  // Query heads share keys: their gradients are added up; without sharing the products write them.
  for (const int64_t number : {gpu::kKeyGradient, gpu::kValueGradient})
    writer(number, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
  CudnnRecorder plain;
  CudnnAttention other(api);
  AttentionConfig config = Batch().config;
  config.kv_heads = 4;
  ASSERT_TRUE(Batch({5, 9}, config).backward(other));
  const auto reductions = plain.all(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  EXPECT_EQ(reductions.size(), 1u);  // the row sums'
  for (const RecordedDescriptor* op : reductions)
    for (const int64_t number : {gpu::kKeyGradient, gpu::kValueGradient})
      EXPECT_NE(op->descriptor(CUDNN_ATTR_OPERATION_REDUCTION_YDESC).number(CUDNN_ATTR_TENSOR_UNIQUE_ID), number);
}

TEST_F(Cudnn, OnePlanACapacity) {
  CudnnAttention attention(api);
  const auto plans = [&] { return recorder.all(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR).size(); };
  for (const auto& lengths : {std::vector<int32_t>{5, 100, 1}, {256}, std::vector<int32_t>(16, 3)})
    ASSERT_TRUE(Batch(lengths).forward(attention));
  EXPECT_EQ(plans(), 1u);
  ASSERT_TRUE(Batch({257}).forward(attention));
  ASSERT_TRUE(Batch(std::vector<int32_t>(17, 3)).forward(attention));
  EXPECT_EQ(plans(), 3u);
  EXPECT_EQ(recorder.executions.size(), 5u);
  for (const RecordedDescriptor* pack : recorder.all(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR))
    EXPECT_TRUE(pack->destroyed);
}

std::vector<int32_t> on_host(const void* device, size_t count) {
  std::vector<int32_t> values(count);
  Stream& s = current_stream(Device::gpu());
  gpu::copy(s, values.data(), device, count * sizeof(int32_t));
  gpu::synchronize(s);
  return values;
}

TEST_F(Cudnn, TellsWhereRowsLie) {
  CudnnAttention attention(api);
  const Batch batch;
  recorder.on_execute = [&](const CudnnRecorder::Execution& e) {
    EXPECT_EQ(e.pointers.at(gpu::kQuery), batch.inputs().q.pointer);
    EXPECT_EQ(e.pointers.at(gpu::kValueGradient), batch.gradients().dv.pointer);
    EXPECT_EQ(*static_cast<const float*>(e.pointers.at(gpu::kScale)), 0.25f);
    EXPECT_EQ(*static_cast<const float*>(e.pointers.at(gpu::kOne)), 1.f);
    std::vector<int32_t> lengths(16, 0);
    lengths[0] = 5, lengths[1] = 100, lengths[2] = 1;
    EXPECT_EQ(on_host(e.pointers.at(gpu::kLengths), 16), lengths);
    for (const auto& [operand, row] :
         {std::pair<int64_t, int>{gpu::kQuery, kRow}, {gpu::kOut, 64}, {gpu::kLse, 4}, {gpu::kKeyGradient, kRow}}) {
      std::vector<int32_t> offset(17, 109 * row);
      offset[0] = 3 * row, offset[1] = 8 * row, offset[2] = 108 * row;
      EXPECT_EQ(on_host(e.pointers.at(operand + gpu::kOffset), 17), offset) << operand;
      EXPECT_EQ(reinterpret_cast<uintptr_t>(e.pointers.at(operand + gpu::kOffset)) % 16, 0u) << operand;
    }
  };
  ASSERT_TRUE(batch.backward(attention));
  EXPECT_EQ(recorder.executions.size(), 1u);
}

TEST_F(Cudnn, RefusalsAreRemembered) {
  const auto expect_refused = [&](const char* why) {
    CudnnAttention attention(api);
    for (int i = 0; i < 2; ++i) {
      EXPECT_FALSE(Batch().forward(attention)) << why;
      EXPECT_FALSE(Batch().backward(attention)) << why;
    }
    EXPECT_NE(attention.last_refusal().find(why), std::string::npos) << attention.last_refusal();
    EXPECT_TRUE(recorder.executions.empty());
    const size_t asked = recorder.descriptors.size();
    EXPECT_FALSE(Batch().forward(attention));
    EXPECT_EQ(recorder.descriptors.size(), asked) << why << ": asked again";
  };
  recorder.engines = 0;
  expect_refused("it proposes nothing");
  recorder.engines = 2, recorder.first_repeating = 2;
  expect_refused("does not repeat its bits");
  recorder.first_repeating = 0, recorder.first_supported = 2;
  expect_refused("not supported");
  recorder.first_supported = 0, recorder.workspace = CudnnAttention::kMostWorkspace + 1;
  expect_refused("1024 MiB of workspace for 16 sequences of 256 tokens");
  recorder.has_graphs = false;
  expect_refused("cudnnBackendCreateDescriptor: not supported");
}

TEST_F(Cudnn, TheNextProposalIsTaken) {
  recorder.first_supported = 1;
  CudnnAttention attention(api);
  ASSERT_TRUE(Batch().forward(attention));
  EXPECT_EQ(recorder.executions.at(0).plan->descriptor(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine, 1);
}

// ---- the library of this machine ----

// The real one must agree on Hopper and later; an emulator's has no graphs, and older devices no ragged ones.
TEST_F(Cudnn, AgreesOrIsNotUsed) {
  ::testing::internal::CaptureStderr();
  const bool used = gpu::prefer_cudnn_attention(Device::gpu(), std::vector<AttentionConfig>{Batch().config});
  const std::string said = ::testing::internal::GetCapturedStderr();
  // One line is ours, and the last.
  const std::string ours = used ? "attention: cuDNN's" : "note: attention stays with our own kernels: cuDNN: ";
  const size_t at = said.find(ours);
  ASSERT_NE(at, said.npos) << said;
  EXPECT_EQ(said.find('\n', at), said.size() - 1) << said;
  if (gpu::cudnn_library() && !is_emulated() && gpu::properties(Device::gpu()).major >= 9) {
    EXPECT_TRUE(used) << said;
  }
  if (is_emulated()) {
    EXPECT_FALSE(used);
  }
  gpu::prefer_own_attention();
}

// cuDNN's softmax: log_softmax and the gradient of cross entropy are it.
TEST_F(Cudnn, SoftmaxIsOurs) {
  const gpu::CudnnApi* library = gpu::cudnn_library();
  if (!library) GTEST_SKIP() << "no cuDNN";
  Stream& s = current_stream(Device::gpu());
  cudnnHandle_t handle;
  ASSERT_EQ(library->create(&handle), CUDNN_STATUS_SUCCESS);
  ASSERT_EQ(library->set_stream(handle, static_cast<cudaStream_t>(s.handle)), CUDNN_STATUS_SUCCESS);
  for (const auto& [rows, columns] : {std::pair<int, int>{3, 7}, {5, 1000}, {1, 1}, {64, 33}}) {
    cudnnTensorDescriptor_t form;
    library->create_tensor(&form);
    ASSERT_EQ(library->set_tensor(form, CUDNN_TENSOR_NCHW, CUDNN_DATA_FLOAT, rows, columns, 1, 1),
              CUDNN_STATUS_SUCCESS);
    const Tensor x = to_tensor(random_array({rows, columns}, 1), DType::f32, s.device);
    const Tensor y = Tensor::like(x), theirs = Tensor::like(x), their_gradient = Tensor::like(x), gradient = x.clone();
    const float one = 1, zero = 0;
    ASSERT_EQ(library->softmax_forward(handle, CUDNN_SOFTMAX_LOG, CUDNN_SOFTMAX_MODE_CHANNEL, &one, form, x.raw(),
                                       &zero, form, theirs.raw()),
              CUDNN_STATUS_SUCCESS);
    gpu::log_softmax(s, x, y);
    std::vector<int32_t> label;
    Array target({rows, columns});
    for (int r = 0; r < rows; ++r) label.push_back(r * 5 % columns), target(r, r * 5 % columns) = -1;
    ASSERT_EQ(
        library->softmax_backward(handle, CUDNN_SOFTMAX_LOG, CUDNN_SOFTMAX_MODE_CHANNEL, &one, form, theirs.raw(), form,
                                  to_tensor(target, DType::f32, s.device).raw(), &zero, form, their_gradient.raw()),
        CUDNN_STATUS_SUCCESS);
    gpu::cross_entropy_rows(s, {}, gradient, integers(label, s.device), Tensor::empty({rows}, DType::f32, s.device));
    expect_close(to_array(y), to_array(theirs), 2e-6, 0, text("log softmax of ", rows, " x ", columns));
    expect_close(to_array(gradient), to_array(their_gradient), 2e-6, 1e-7, text("gradient of ", rows, " x ", columns));
    library->destroy_tensor(form);
  }
}

}  // namespace
}  // namespace cambium::testing
