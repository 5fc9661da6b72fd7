// Which attention cuDNN may be given, and where rows lie in its words.
#include "cuda/attention_library.h"

#include "tests/cuda/sides.h"

namespace cambium::testing {
namespace {

// A call that cuDNN can take; nothing is computed, so the matrices lie anywhere.
struct Call {
  alignas(16) char memory[16] = {};
  AttentionConfig config{.heads = 4, .kv_heads = 2, .head_size = 16, .causal = true};
  ConstView q = matrix(64), k = matrix(32), v = matrix(32), dout = matrix(64), out = matrix(64);
  ConstView lse = {memory, 100, 4, 4, DType::f32};
  Segments queries{{memory, 3, 1, 1, DType::i32}, {memory + 8, 3, 1, 1, DType::i32}, 3, 40}, keys = queries;
  AttentionInputs in{.q = q, .k = k, .v = v, .queries = queries, .keys = keys};
  AttentionGradients g{.dq = View(q), .dk = View(k), .dv = View(v)};

  ConstView matrix(int64_t columns) const { return {memory, 100, columns, 128, DType::bf16}; }
  const char* forward() const { return gpu::beyond_cudnn(config, in, out, lse); }
  const char* backward() const { return gpu::beyond_cudnn(config, in, dout, out, lse, g); }
};

// What is wrong with a call after `change`, forward; backward must refuse it, too.
std::string refusal(const std::function<void(Call&)>& change) {
  Call c;
  change(c);
  EXPECT_EQ(c.backward() != nullptr, true);
  return c.forward() ? c.forward() : "";
}

TEST(AttentionLibrary, TakesRaggedSelfAttention) {
  Call c;
  EXPECT_EQ(c.forward(), nullptr);
  EXPECT_EQ(c.backward(), nullptr);
  c.config.causal = false, c.config.kv_heads = 4;
  EXPECT_EQ(c.forward(), nullptr);
}

TEST(AttentionLibrary, RefusesWhatGraphsCannotExpress) {
  EXPECT_NE(refusal([](Call& c) { c.in.q.type = DType::f32; }).find("bfloat16"), std::string::npos);
  for (const int size : {4, 12, 33, 264})
    EXPECT_NE(refusal([&](Call& c) { c.config.head_size = size; }).find("multiples of 8"), std::string::npos) << size;
  EXPECT_NE(refusal([](Call& c) { c.config.dropout.probability = 0.1f; }).find("random numbers"), std::string::npos);
  EXPECT_NE(refusal([](Call& c) { c.in.prefix_k = c.k; }).find("prefixes"), std::string::npos);
  EXPECT_NE(refusal([](Call& c) { c.in.bias = c.lse; }).find("bias"), std::string::npos);
  EXPECT_NE(refusal([](Call& c) { c.in.queries = c.in.keys = {}; }).find("self-attention"), std::string::npos);
  // A cache, or an encoder's rows.
  EXPECT_NE(refusal([](Call& c) { c.in.keys.length.pointer = c.memory + 4; }).find("self-attention"),
            std::string::npos);
  EXPECT_NE(refusal([](Call& c) { c.in.k.pointer = c.memory + 2; }).find("aligned"), std::string::npos);
  EXPECT_NE(refusal([](Call& c) { c.in.v.stride = 129; }).find("aligned"), std::string::npos);
  EXPECT_NE(refusal([](Call& c) { c.in.q.row_count = int64_t(1) << 24; }).find("2^31"), std::string::npos);
  EXPECT_NE(refusal([](Call& c) { c.lse.row_count = int64_t(1) << 30; }).find("2^31"), std::string::npos);
}

TEST(AttentionLibrary, ComputesAllGradientsOrNone) {
  for (View AttentionGradients::*gradient :
       {&AttentionGradients::dq, &AttentionGradients::dk, &AttentionGradients::dv}) {
    Call c;
    c.g.*gradient = View();
    ASSERT_NE(c.backward(), nullptr);
    EXPECT_STREQ(c.backward(), "it computes all three gradients or none");
    c = Call();
    (c.g.*gradient).stride = 100;
    EXPECT_NE(c.backward(), nullptr);
  }
}

TEST(AttentionLibrary, LayoutCountsElements) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  Stream& s = current_stream(Device::gpu());
  const Tensor begin = integers({2, 2, 9}, s.device), length = integers({0, 6, 4}, s.device);
  const int64_t strides[] = {7, 1};
  for (const int64_t capacity : {3, 4, 200}) {
    const Tensor lengths = Tensor::zeros({capacity}, DType::i32, s.device),
                 offset = Tensor::zeros({2, capacity + 4}, DType::i32, s.device);
    gpu::attention_layout(s, {begin, length, 3, 6}, capacity, strides, lengths.data<int32_t>(), offset.data<int32_t>());
    const Array n = values_of(lengths), at = values_of(offset);
    for (int64_t i = 0; i <= capacity; ++i) {
      const double expected_length[] = {0, 6, 4}, row = i == 0 || i == 1 ? 2 : i == 2 ? 9 : 13;
      if (i < capacity) {
        EXPECT_EQ(n(i), i < 3 ? expected_length[i] : 0) << i;
      }
      EXPECT_EQ(at(0, i), 7 * row) << i;
      EXPECT_EQ(at(1, i), row) << i;
    }
  }
  EXPECT_THROW(gpu::attention_layout(s, {begin, length, 3, 6}, 2, strides, nullptr, nullptr), Error);
}

TEST(AttentionLibrary, WithoutCudnnOursGoOn) {
  if (gpu::knows_cudnn()) GTEST_SKIP() << "this build has it";
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  ::testing::internal::CaptureStderr();
  EXPECT_FALSE(gpu::prefer_cudnn_attention(Device::gpu(),
                                           std::vector<AttentionConfig>{{.heads = 1, .kv_heads = 1, .head_size = 8}}));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(),
            "note: attention stays with our own kernels: cuDNN: this build has no cuDNN\n");
}

}  // namespace
}  // namespace cambium::testing
