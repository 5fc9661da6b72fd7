// The blocked product with every microkernel that this machine can run, and with the plain C++ twins of those it
// cannot: values, order of sums, bits, and what follows the sums.
#include "core/cpu/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/cpu/peak.h"
#include "core/kernels/matmul.h"
#include "core/random.h"
#include "core/tensor.h"
#include "core/threads.h"

namespace cambium::testing {
namespace {

using cpu::GemmOperand;
using cpu::GemmProblem;
using cpu::Level;
using cpu::Microkernel;

constexpr Level kWidths[] = {Level::neon, Level::x86_64, Level::avx2, Level::avx512};

std::vector<const Microkernel*> kernels() {
  std::vector<const Microkernel*> all;
  for (const Level width : kWidths) all.push_back(&cpu::float_kernel(width));
  if (cpu::level() == Level::neon) all.push_back(&cpu::neon_kernel());
  for (const Level level : {Level::avx512_bf16, Level::amx}) {
    all.push_back(&cpu::pairs_kernel(level, true));
    if (cpu::level() >= level) all.push_back(&cpu::pairs_kernel(level, false));
  }
  return all;
}

// A matrix [rows, cols] of numbers in (-1, 1) inside a larger, oddly aligned buffer, as it is or transposed.
struct Matrix {
  int64_t rows, cols;
  DType type;
  bool transposed;
  int64_t stride, skip;
  std::vector<float> floats;
  std::vector<bfloat16> halves;

  Matrix(int64_t r, int64_t c, DType t, bool is_transposed, uint64_t seed, int64_t more = 3)
      : rows(r), cols(c), type(t), transposed(is_transposed), stride((is_transposed ? r : c) + more),
        skip(more ? 1 : 0) {
    const int64_t lines = is_transposed ? c : r;
    const RandomKey key = random_key(seed, "gemm");
    // Poison around the matrix: reading it shows.
    floats.assign(size_t(skip + lines * stride + 1), std::numeric_limits<float>::quiet_NaN());
    halves.assign(floats.size(), bfloat16(std::numeric_limits<float>::quiet_NaN()));
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < cols; ++j) {
        const float x = 2 * unit_float(philox(key, uint32_t(i), uint32_t(j), 0, 0).word[0]) - 1;
        floats[index(i, j)] = x, halves[index(i, j)] = bfloat16(x);
      }
  }
  size_t index(int64_t i, int64_t j) const { return size_t(skip + (transposed ? j * stride + i : i * stride + j)); }
  GemmOperand operand() const {
    const void* data = type == DType::bf16 ? static_cast<const void*>(halves.data() + skip) : floats.data() + skip;
    return {data, type, transposed ? 1 : stride, transposed ? stride : 1};
  }
  // As the product reads it.
  float at(int64_t i, int64_t j, bool rounded) const {
    return rounded || type == DType::bf16 ? float(halves[index(i, j)]) : floats[index(i, j)];
  }
};

void multiply(const GemmProblem& p, const Microkernel& kernel) { cpu::gemm(current_stream(Device::cpu()), p, kernel); }

struct Case {
  int64_t M, N, K;
  bool transpose_a, transpose_b;
  DType a, b, c;
  bool accumulate, bias;
};

// Against sums in double, with the spare columns of c left as they were.
void check(const Case& t, const Microkernel& kernel) {
  const bool low = t.a == DType::bf16 || t.b == DType::bf16 || kernel.pairs;
  const Matrix a(t.M, t.K, t.a, t.transpose_a, 1), b(t.K, t.N, t.b, t.transpose_b, 2), c(t.M, t.N, t.c, false, 3);
  const Matrix bias(1, t.N, DType::f32, false, 4);
  std::vector<float> floats = c.floats;
  std::vector<bfloat16> halves = c.halves;
  void* out = t.c == DType::bf16 ? static_cast<void*>(halves.data() + c.skip) : floats.data() + c.skip;
  multiply({.M = t.M,
            .N = t.N,
            .K = t.K,
            .a = a.operand(),
            .b = b.operand(),
            .round = low,
            .bias = t.bias ? bias.floats.data() + bias.skip : nullptr,
            .accumulate = t.accumulate,
            .c = out,
            .c_type = t.c,
            .c_row = c.stride},
           kernel);
  for (int64_t i = 0; i < t.M; ++i)
    for (int64_t j = 0; j < t.N; ++j) {
      double sum = 0, size = 0;
      const auto add = [&](double x) { sum += x, size += std::abs(x); };
      for (int64_t k = 0; k < t.K; ++k) add(double(a.at(i, k, low)) * double(b.at(k, j, low)));
      if (t.accumulate) add(double(c.at(i, j, false)));
      if (t.bias) add(double(bias.at(0, j, false)));
      const double got = t.c == DType::bf16 ? double(float(halves[c.index(i, j)])) : double(floats[c.index(i, j)]);
      const double bound = size * 4e-6 + (t.c == DType::bf16 ? std::abs(sum) * 0x1p-8 + 1e-6 : 0);
      ASSERT_NEAR(got, sum, bound + 1e-30)
          << kernel.name << " [" << t.M << "," << t.K << "] x [" << t.K << "," << t.N << "] at " << i << "," << j
          << " transposes " << t.transpose_a << t.transpose_b << " types " << name_of(t.a) << name_of(t.b)
          << name_of(t.c) << " accumulate " << t.accumulate << " bias " << t.bias;
    }
  for (int64_t i = 0; i < t.M; ++i)
    for (int64_t j = t.N; j < c.stride; ++j)
      ASSERT_TRUE(t.c == DType::bf16 ? std::isnan(float(halves[c.index(i, j)])) : std::isnan(floats[c.index(i, j)]))
          << kernel.name << " wrote behind row " << i;
}

TEST(Gemm, MultipliesWithEveryKernel) {
  for (const Microkernel* kernel : kernels())
    for (const auto& [M, N, K] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1},
                                  {1, 33, 7},
                                  {5, 1, 31},
                                  {3, 4, 0},
                                  {31, 33, 32},
                                  {17, 47, 65},
                                  {33, 70, 520},
                                  {1, 64, 1030},
                                  {13, 16, 257}})
      for (int flags = 0; flags < 16; ++flags) {
        const bool low_a = flags & 1, low_b = flags & 2;
        check({M, N, K, bool(flags & 4), bool(flags & 8), low_a ? DType::bf16 : DType::f32,
               low_b ? DType::bf16 : DType::f32, (flags * 7 + M) & 2 ? DType::bf16 : DType::f32,
               bool((flags * 5 + N) & 1), bool((flags + K) & 1)},
              *kernel);
      }
}

// More rows than are packed at once, more columns than a block has, more of k than a piece.
TEST(Gemm, MultipliesWhatIsCutInAllDirections) {
  for (const Microkernel* kernel : {&cpu::float_kernel(Level::avx2), &cpu::float_kernel(Level::avx512)}) {
    check({9000, 2, 300, false, true, DType::f32, DType::f32, DType::f32, false, true}, *kernel);
    check({260, 3, 9000, true, false, DType::f32, DType::f32, DType::bf16, true, false}, *kernel);
    check({5, 1500, 300, false, false, DType::f32, DType::f32, DType::bf16, true, true}, *kernel);
  }
}

// c[0,0] of the order that a kernel promises, from a's row and b's column.
float promised(const Microkernel& kernel, const std::vector<float>& a, const std::vector<float>& b) {
  const auto zero = [](float x) { return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.f, x) : x; };
  const size_t K = a.size();
  const auto at = [&](const std::vector<float>& x, size_t k) { return k < K ? zero(x[k]) : 0.f; };
  float sum = 0;
  if (kernel.step == 2) {  // pairs, the second first
    for (size_t k = 0; k < K; k += 2)
      for (const size_t i : {k + 1, k}) sum = zero(std::fma(at(a, i), at(b, i), sum));
  } else if (kernel.step == 32) {
    for (size_t s = 0; s < K; s += 32) {
      float even = 0, odd = 0;
      for (size_t k = s; k < s + 32; k += 2) {
        even = zero(std::fma(at(a, k), at(b, k), even));
        odd = zero(std::fma(at(a, k + 1), at(b, k + 1), odd));
      }
      sum = zero(sum + zero(even + odd));
    }
  }
  return sum;
}

TEST(Gemm, TwinsSumAsTheManualSays) {
  for (const Level level : {Level::avx512_bf16, Level::amx})
    for (const int64_t K : {1, 2, 31, 64, 515, 1300})
      for (const float scale : {1.f, 0x1p-70f, 0x1p-63f}) {  // products that are denormal, and denormal sums
        const Microkernel& twin = cpu::pairs_kernel(level, true);
        std::vector<float> a, b;
        std::vector<bfloat16> low_a, low_b;
        const RandomKey key = random_key(uint64_t(K), "twin");
        for (int64_t k = 0; k < K; ++k) {
          const RandomWords w = philox(key, uint32_t(k), 0, 0, 0);
          low_a.emplace_back(scale * (2 * unit_float(w.word[0]) - 1)),
              low_b.emplace_back(scale * (2 * unit_float(w.word[1]) - 1));
          a.push_back(float(low_a.back())), b.push_back(float(low_b.back()));
        }
        float c = -1;
        multiply({.M = 1,
                  .N = 1,
                  .K = K,
                  .a = {low_a.data(), DType::bf16, K, 1},
                  .b = {low_b.data(), DType::bf16, 1, K},
                  .c = &c,
                  .c_row = 1},
                 twin);
        const float expected = promised(twin, a, b);
        EXPECT_EQ(std::memcmp(&c, &expected, 4), 0)
            << twin.name << " K " << K << " scale " << scale << ": " << c << ", not " << expected;
      }
}

std::vector<float> product(const Microkernel& kernel, const Matrix& a, const Matrix& b, int64_t row, int64_t M) {
  std::vector<float> c(size_t(M * b.cols));
  GemmOperand rows = a.operand();
  rows.data = static_cast<const char*>(rows.data) + row * rows.row * size_of(rows.type);
  multiply({.M = M,
            .N = b.cols,
            .K = a.cols,
            .a = rows,
            .b = b.operand(),
            .round = kernel.pairs,
            .c = c.data(),
            .c_row = b.cols},
           kernel);
  return c;
}

bool same_bits(const std::vector<float>& x, const std::vector<float>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * 4) == 0;
}

TEST(Gemm, KernelsAndTwinsGiveTheSameBits) {
  std::vector<std::pair<const Microkernel*, const Microkernel*>> both;
  if (cpu::level() == Level::neon) both.emplace_back(&cpu::neon_kernel(), &cpu::float_kernel(Level::neon));
  for (const Level level : {Level::avx512_bf16, Level::amx})
    if (cpu::level() >= level) both.emplace_back(&cpu::pairs_kernel(level, false), &cpu::pairs_kernel(level, true));
  if (both.empty()) GTEST_SKIP() << "level " << name_of(cpu::level()) << " has its tiles in C++ alone";
  for (const auto& [kernel, twin] : both)
    for (const auto& [M, N, K] : {std::tuple<int64_t, int64_t, int64_t>{1, 5, 3}, {40, 70, 1100}, {16, 32, 64}}) {
      const Matrix a(M, K, DType::f32, false, 5), b(K, N, DType::bf16, true, 6);
      EXPECT_TRUE(same_bits(product(*kernel, a, b, 0, M), product(*twin, a, b, 0, M)))
          << kernel->name << " " << M << " " << N << " " << K;
    }
}

// All widths of float32 tiles: elements do not know how wide the vectors around them are.
TEST(Gemm, FloatKernelsOfAllWidthsGiveTheSameBits) {
  for (const DType type : {DType::f32, DType::bf16})
    for (const bool transposed : {false, true}) {
      const Matrix a(37, 700, DType::f32, transposed, 7), b(700, 75, type, transposed, 8);
      const auto expected = product(cpu::float_kernel(Level::x86_64), a, b, 0, a.rows);
      for (const Level width : kWidths)
        EXPECT_TRUE(same_bits(product(cpu::float_kernel(width), a, b, 0, a.rows), expected)) << name_of(width);
    }
}

TEST(Gemm, RowsDoNotDependOnTheirNumberNorOnThreads) {
  const int before = threads();
  for (const Microkernel* kernel : kernels()) {
    const Matrix a(150, 530, DType::f32, false, 9), b(530, 100, DType::bf16, true, 10);
    set_threads(1);
    const auto whole = product(*kernel, a, b, 0, a.rows);
    for (const int count : {1, 2, 3})
      for (const int64_t M : {1, 2, 12, 13, 31, 33, 100}) {
        set_threads(count);
        const auto part = product(*kernel, a, b, 7, M);
        EXPECT_EQ(std::memcmp(part.data(), whole.data() + 7 * b.cols, part.size() * 4), 0)
            << kernel->name << " M " << M << " threads " << count;
      }
  }
  set_threads(before);
}

Tensor random_tensor(const Shape& shape, DType type, uint64_t seed) {
  const Matrix m(shape[0], shape[1], DType::f32, false, seed, 0);
  Tensor t = Tensor::empty(shape, DType::f32);
  std::copy_n(m.floats.data(), shape.size(), t.data<float>());
  return t.to(type);
}

bool same(const Tensor& x, const Tensor& y) { return std::memcmp(x.raw(), y.raw(), size_t(x.bytes())) == 0; }

// What follows the sums in cache is what separate calls compute.
TEST(Gemm, ActivationsAfterTheSumsAreThoseOfTheirOwnKernels) {
  Stream& stream = current_stream(Device::cpu());
  for (const DType type : {DType::f32, DType::bf16})
    for (const Activation kind :
         {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu, Activation::tanh})
      for (const int64_t K : {0, 600}) {
        const Tensor a = random_tensor({21, K}, type, 11), w = random_tensor({70, K}, type, 12),
                     bias = random_tensor({1, 70}, DType::f32, 13), x = random_tensor({21, 70}, type, 14);
        const MatmulOptions options{.transpose_b = true};
        Tensor sum = Tensor::like(x), y = Tensor::like(x), y_alone = Tensor::like(x), expected_sum = Tensor::like(x),
               expected = Tensor::like(x);
        matmul_activation(stream, a, w, bias, options, kind, sum, y);
        matmul_activation(stream, a, w, bias, options, kind, {}, y_alone);
        cpu::matmul(stream, a, w, bias, options, expected_sum);
        cpu::activation_forward(stream, kind, expected_sum, {}, expected);
        EXPECT_TRUE(same(sum, expected_sum) && same(y, expected) && same(y_alone, expected)) << name_of(kind);
        Tensor dx = Tensor::like(x);
        matmul_activation_gradient(stream, a, w, options, kind, x, dx);
        cpu::matmul(stream, a, w, {}, options, expected);
        cpu::activation_backward(stream, kind, expected, x, {}, expected);
        EXPECT_TRUE(same(dx, expected)) << name_of(kind) << " gradient";
      }
}

TEST(Gemm, CountsOperations) {
  const Tensor a = random_tensor({5, 7}, DType::f32, 15), b = random_tensor({7, 11}, DType::bf16, 16);
  Tensor c = Tensor::empty({5, 11}, DType::f32);
  const double before = cpu::counted_flops();
  cpu::matmul(current_stream(Device::cpu()), a, b, {}, {}, c);
  EXPECT_EQ(cpu::counted_flops() - before, 2 * 5 * 7 * 11);
}

TEST(Gemm, ASizeThatOverflowsIsAnError) {
  const int64_t huge = int64_t(1) << 32;
  const Tensor a = Tensor::empty({huge, 0}, DType::f32), b = Tensor::empty({huge, 0}, DType::f32);
  EXPECT_THROW(Tensor::empty({huge, huge}, DType::f32), Error);
  Tensor c = Tensor::empty({4, 4}, DType::f32);
  EXPECT_THROW(cpu::matmul(current_stream(Device::cpu()), a, b, {}, {.transpose_b = true}, c), Error);
}

}  // namespace
}  // namespace cambium::testing
