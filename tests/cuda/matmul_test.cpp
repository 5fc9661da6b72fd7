// matmul: the GPU side against the CPU side, and what it promises: a row's bits do not depend on
// the other rows.
#include "core/kernels/matmul.h"

#include "cuda/matmul.h"
#include "tests/cuda/sides.h"

namespace cambium::testing {
namespace {

struct Product {
  int64_t M, N, K;
  DType a, b, c;
  MatmulOptions options;
  bool bias;
  int64_t margin = 0;  // columns before and after each matrix
};

std::vector<Tensor> run(const Product& p, Stream& s) {
  const auto matrix = [&](int64_t rows, int64_t cols, DType t, uint64_t seed) {
    return strided(random_array({rows, cols}, seed), t, s.device, p.margin, p.margin);
  };
  const Strided a = p.options.transpose_a ? matrix(p.K, p.M, p.a, 1) : matrix(p.M, p.K, p.a, 1);
  const Strided b = p.options.transpose_b ? matrix(p.N, p.K, p.b, 2) : matrix(p.K, p.N, p.b, 2);
  const Strided c = matrix(p.M, p.N, p.c, 3);
  const Tensor bias = p.bias ? to_tensor(random_array({p.N}, 4), DType::f32, s.device) : Tensor();
  DISPATCH(matmul, s)(s, a, b, bias, p.options, c);
  return {c.all};
}

TEST(GpuMatmul, AgreesWithTheCpu) {
  constexpr DType f32 = DType::f32, bf16 = DType::bf16;
  const std::vector<std::array<int64_t, 3>> sizes = {{1, 1, 1}, {5, 7, 3}, {33, 40, 65}, {64, 16, 128},
                                                     {0, 4, 4}, {4, 0, 4}, {4, 4, 0}};
  const std::vector<std::array<DType, 3>> types = {{f32, f32, f32},  {bf16, bf16, bf16}, {bf16, bf16, f32},
                                                   {f32, bf16, f32}, {bf16, f32, bf16},  {f32, f32, bf16}};
  for (const auto& [M, N, K] : sizes)
    for (const auto& [a, b, c] : types)
      for (int flags = 0; flags < (a == f32 && b == f32 ? 64 : 32); ++flags) {
        const Product p{.M = M,
                        .N = N,
                        .K = K,
                        .a = a,
                        .b = b,
                        .c = c,
                        .options = {.transpose_a = (flags & 1) != 0,
                                    .transpose_b = (flags & 2) != 0,
                                    .accumulate = (flags & 4) != 0,
                                    .round_to_bf16 = (flags & 32) != 0},
                        .bias = (flags & 8) != 0,
                        .margin = flags & 16 ? 3 : 0};
        expect_sides_agree(
            [&](Stream& s) { return run(p, s); }, c == bf16 ? 1e-2 : 1e-5,
            text("matmul ", M, "x", N, "x", K, " ", name_of(a), " ", name_of(b), " ", name_of(c), ", flags ", flags));
      }
}

TEST(GpuMatmul, AnEmptySumIsZero) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  Stream& s = current_stream(Device::gpu());
  for (const DType type : {DType::f32, DType::bf16}) {
    const Array c =
        to_array(run({.M = 3, .N = 4, .K = 0, .a = type, .b = type, .c = type, .options = {}, .bias = false}, s)[0]);
    EXPECT_EQ(c.largest(), 0);
  }
}

TEST(GpuMatmul, WeightAndBiasGradient) {
  for (const DType type : {DType::f32, DType::bf16})
    for (const bool round : {false, true})
      for (const auto& [rows, in, out] :
           {std::array<int64_t, 3>{5, 7, 3}, {64, 16, 24}, {130, 33, 65}, {1, 1, 1}, {0, 4, 4}})
        expect_sides_agree(
            [&](Stream& s) {
              const Tensor dy = to_tensor(random_array({rows, out}, 1), type, s.device),
                           x = to_tensor(random_array({rows, in}, 2), type, s.device);
              const Tensor dweight = Tensor::empty({out, in}, DType::f32, s.device),
                           dbias = Tensor::empty({out}, DType::f32, s.device);
              DISPATCH(weight_and_bias_gradient, s)(s, dy, x, round, dweight, dbias);
              return std::vector{dweight, dbias};
            },
            1e-5, text("gradients of ", rows, " rows in ", name_of(type)));
}

struct WithEpilogues {
  explicit WithEpilogues(bool on) { gpu::use_gelu_epilogues(on); }
  ~WithEpilogues() { gpu::use_gelu_epilogues(false); }
};

// With GELU in the library's product, and as product and activation: both compute what the CPU does.
TEST(GpuMatmul, ActivationsAndTheirGradients) {
  struct Types {
    DType a, b, c;
  };
  constexpr DType f32 = DType::f32, bf16 = DType::bf16;
  for (const bool epilogues : {false, true})
    for (const Activation kind : {Activation::gelu_tanh, Activation::gelu})
      for (const auto& [M, N, K] : std::vector<std::array<int64_t, 3>>{
               {1, 1, 1}, {5, 7, 3}, {33, 40, 65}, {70, 16, 128}, {0, 8, 8}, {8, 0, 8}, {8, 8, 0}})
        for (const auto& [a, b, c] : {Types{f32, f32, f32}, {bf16, bf16, bf16}, {f32, bf16, f32}, {f32, f32, bf16}})
          for (int flags = 0; flags < 8; ++flags) {
            const bool has_bias = flags & 1, keeps_sum = flags & 2, transposed = flags & 4;
            const WithEpilogues with(epilogues);
            const auto call = [&](Stream& s) {
              const auto tensor = [&](const Shape& shape, DType type, uint64_t seed) {
                return to_tensor(random_array(shape, seed), type, s.device);
              };
              const Tensor left = tensor({M, K}, a, 1), right = tensor(transposed ? Shape{N, K} : Shape{K, N}, b, 2);
              const Tensor bias = has_bias ? tensor({N}, f32, 3) : Tensor(), y = tensor({M, N}, c, 4);
              Tensor sum = keeps_sum ? tensor({M, N}, c, 5) : Tensor();
              const MatmulOptions options{.transpose_b = transposed};
              matmul_activation(s, left, right, bias, options, kind, sum, y);
              const Tensor at = tensor({M, N}, c, 6), gradient = tensor({M, N}, c, 7);
              matmul_activation_gradient(s, left, right, options, kind, at, gradient);
              if (!keeps_sum) sum = Tensor::zeros({0}, f32, s.device);
              return std::vector{sum, y, gradient};
            };
            expect_sides_agree(call, c == bf16 ? 2e-2 : 1e-5,
                               text(name_of(kind), " of ", M, "x", N, "x", K, " ", name_of(a), " ", name_of(b), " ",
                                    name_of(c), ", flags ", flags, epilogues ? ", in the product" : ""));
          }
}

// Rounded before or after GELU: that the library does it shows in the bits.
TEST(GpuMatmul, TheLibraryAppliesGeluWhenItMay) {
  if (!gpu::is_real() || gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  Stream& s = current_stream(Device::gpu());
  const auto matrix = [&](int64_t rows, int64_t cols, uint64_t seed) {
    return to_tensor(random_array({rows, cols}, seed), DType::bf16, s.device);
  };
  const Tensor a = matrix(64, 96, 1), b = matrix(96, 48, 2), at = matrix(64, 48, 3);
  std::vector<Tensor> y, gradient;
  for (const bool epilogues : {false, true}) {
    const WithEpilogues with(epilogues);
    y.push_back(Tensor::like(at)), gradient.push_back(Tensor::like(at));
    matmul_activation(s, a, b, {}, {}, Activation::gelu_tanh, {}, y.back());
    matmul_activation_gradient(s, a, b, {}, Activation::gelu_tanh, at, gradient.back());
  }
  EXPECT_FALSE(same_bits(y[0], y[1]));
  EXPECT_FALSE(same_bits(gradient[0], gradient[1]));
}

TEST(GpuMatmul, RowsDoNotDependOnTheBatch) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  if (is_emulated()) GTEST_SKIP() << "an emulator's products are those of the host's library, which promises nothing";
  Stream& s = current_stream(Device::gpu());
  using Sizes = std::array<int64_t, 3>;
  // The last two: K in pieces, more rows than are done at a time; an odd vocabulary.
  for (const DType type : {DType::f32, DType::bf16})
    for (const auto& [transpose_b, sizes] : {std::pair{false, Sizes{70, 48, 96}},
                                             {true, {70, 48, 96}},
                                             {false, {600, 40, 9000}},
                                             {true, {70, 1031, 40}}}) {
      const auto [M, N, K] = sizes;
      const Tensor a = to_tensor(random_array({M, K}, 1), type, s.device);
      const Tensor b = to_tensor(random_array(transpose_b ? Shape{N, K} : Shape{K, N}, 2), type, s.device);
      const Tensor all = Tensor::empty({M, N}, type, s.device);
      gpu::matmul(s, a, b, {}, {.transpose_b = transpose_b}, all);
      for (const auto& [begin, end] : {std::pair<int64_t, int64_t>{0, 1}, {69, 70}, {3, 20}, {32, 64}}) {
        const Tensor part = Tensor::empty({end - begin, N}, type, s.device);
        gpu::matmul(s, a.rows(begin, end), b, {}, {.transpose_b = transpose_b}, part);
        EXPECT_TRUE(same_bits(part, all.rows(begin, end))) << name_of(type) << " rows " << begin << " to " << end;
      }
    }
}

TEST(GpuMatmul, NamesSizesThatDoNotFit) {
  if (gpu::device_count() == 0) GTEST_SKIP() << "no GPU";
  Stream& s = current_stream(Device::gpu());
  const Tensor a = Tensor::zeros({2, 3}, DType::f32, s.device), c = Tensor::zeros({2, 4}, DType::f32, s.device);
  try {
    gpu::matmul(s, a, a, {}, {}, c);
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "matmul: a [2,3], b [2,3], bias [0], c [2,4]");
  }
}

}  // namespace
}  // namespace cambium::testing
