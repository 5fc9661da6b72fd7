// The host twin of cuBLASLt's matmul, for builds without it: a thread an element, k ascending.
#include "core/kernels/elementwise.h"
#include "cuda/device.cuh"
#include "cuda/matmul.h"

namespace cambium::gpu {
namespace {

// op(x) by its own indices, as floats, rounded to bfloat16 if asked for.
template <class T>
struct Operand {
  const T* data;
  int64_t row, col;  // strides
  bool rounded;
  __device__ float operator()(int64_t i, int64_t j) const {
    const float v = float(data[i * row + j * col]);
    return rounded ? float(bfloat16(v)) : v;
  }
};

template <class T>
Operand<T> operand(ConstView v, bool transposed, bool rounded) {
  return {v.data<T>(), transposed ? 1 : v.stride, transposed ? v.stride : 1, rounded};
}

template <class A, class B, class C>
__global__ void matmul_kernel(Operand<A> a, Operand<B> b, const float* bias, bool accumulate, Rows<C> c, int64_t M,
                              int64_t N, int64_t K) {
  const int64_t n = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
  if (n >= N) return;
  for (int64_t m = blockIdx.y * blockDim.y + threadIdx.y; m < M; m += gridDim.y * blockDim.y) {
    float sum = accumulate ? float(c[m][n]) : 0.f;
    if (bias) sum += bias[n];
    for (int64_t k = 0; k < K; ++k) sum += a(m, k) * b(k, n);
    store_one(c[m] + n, sum);
  }
}

}  // namespace

void matmul(Stream& stream, ConstView a, ConstView b, ConstView bias, const MatmulOptions& options, View c) {
  const auto [M, N, K] = ProductSizes(a, b, bias, options, c);
  if (M == 0 || N == 0) return;
  const bool low = in_bfloat16(a, b, options);
  const Plane plane(M, N);
  visit_gpu(a.dtype(), [&]<class A>(Type<A>) {
    visit_gpu(b.dtype(), [&]<class B>(Type<B>) {
      visit_gpu(c.dtype(), [&]<class C>(Type<C>) {
        launch(matmul_kernel<A, B, C>, plane.grid, plane.block, 0, stream, operand<A>(a, options.transpose_a, low),
               operand<B>(b, options.transpose_b, low), bias.data<float>(), options.accumulate, rows_of<C>(c), M, N, K);
      });
    });
  });
}

void weight_and_bias_gradient(Stream& stream, ConstView dy, ConstView x, bool round_to_bf16, View dweight, View dbias) {
  column_sum(stream, dy, false, dbias);
  matmul(stream, dy, x, {}, {.transpose_a = true, .round_to_bf16 = round_to_bf16}, dweight);
}

void use_gelu_epilogues(bool) {}

bool library_matmul_activation(Stream&, ConstView, ConstView, ConstView, const MatmulOptions&, Activation, View, View) {
  return false;
}

bool library_matmul_activation_gradient(Stream&, ConstView, ConstView, const MatmulOptions&, Activation, ConstView,
                                        View) {
  return false;
}

}  // namespace cambium::gpu
