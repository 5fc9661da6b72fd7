// The rows of the matrix product ops in the table of op tests.
#include "autograd/ops/linear.h"

#include "tests/support/op_case.h"

namespace cambium::testing {
namespace {

TEST(Ops, Linear) {
  check_op(OpCase{
      .name = "linear",
      .op = Linear{},
      .definition = linear,
      .shapes = {{{1, 1}, {1, 1}, {1}},
                 {{3, 5}, {7, 5}, {7}},
                 {{65, 33}, {17, 33}, {}},
                 {{40, 96}, {100, 96}, {100}},
                 {{0, 4}, {6, 4}, {6}}},
      .tolerance = {.f32 = 4e-6, .bf16 = 2e-2},
      .wide_inputs = {2},
  });
}

// A bfloat16 weight under float32 activations: what a frozen base is by default.
TEST(Ops, LinearMixed) {
  const Array x = random_array({37, 64}, 1), w = random_array({48, 64}, 2);
  const Array x16 = to_array(to_tensor(x, DType::bf16)), w16 = to_array(to_tensor(w, DType::bf16));
  for (const Device device : {Device::cpu(), Device::gpu()}) {
    if (device.is_gpu() && gpu::device_count() == 0) continue;
    const Var y = apply(Linear{}, Var(to_tensor(x, DType::f32, device)), Var(to_tensor(w, DType::bf16, device)), Var());
    detail::expect_near(to_array(y.value), linear(x16, w16, {}), 4e-6, "mixed linear");
  }
}

// The bits of a row depend on nothing but that row.
TEST(Matmul, RowsDoNotDependOnTheBatch) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const auto& [N, K] : {std::pair{64, 64}, {8, 576}, {192, 576}, {576, 1536}, {100, 3072}, {16, 5000}})
      for (const bool transposed : {false, true}) {
        const Tensor x = to_tensor(random_array({300, K}, 3), DType::f32);
        const Tensor w = to_tensor(random_array(transposed ? Shape{N, K} : Shape{K, N}, 4), dtype);
        const Tensor whole = product(x, w, {.transpose_b = transposed}, DType::f32);
        for (const int threads : {1, 2, 3})
          for (const int64_t M : {1, 2, 5, 16, 31, 33, 64, 100, 257}) {
            const int before = cambium::threads();
            set_threads(threads);
            const Tensor part = product(x.rows(3, 3 + M), w, {.transpose_b = transposed}, DType::f32);
            set_threads(before);
            ASSERT_TRUE(same_bits(part, whole.rows(3, 3 + M)))
                << name_of(dtype) << " N " << N << " K " << K << " M " << M << " threads " << threads;
          }
      }
}

}  // namespace
}  // namespace cambium::testing
