// Adafactor on the GPU, for a list of matrices at once: means of squares over rows and columns, the size of the
// update, then the update (core/kernels/optimizer.h). Every sum has a fixed order.
#include <utility>
#include <vector>

#include "core/kernels/elementwise.h"
#include "core/kernels/optimizer.h"
#include "core/memory.h"
#include "cuda/multi_tensor.cuh"

namespace cambium::gpu {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kPerThread = 16;
constexpr int64_t kPiece = int64_t(kThreads) * kPerThread;  // elements of a block

struct Matrix {
  float* value;
  const float* gradient;
  float *first, *second;
  bfloat16* working;
  int64_t R, C;
  // Scratch, by the kernels that fill it.
  float* column_sum;  // [ceil(R / kRowsPerBlock), C]
  float* mean_first;  // [1]
  float* square;      // [2, pieces]: sums over pieces of u^2 and of p^2
  float* rate;        // [1]

  __host__ __device__ bool factored() const { return first != nullptr; }
  __host__ __device__ int64_t size() const { return R * C; }
  __host__ __device__ int64_t pieces() const { return (size() + kPiece - 1) / kPiece; }
  __host__ __device__ int64_t row_blocks() const { return (R + kRowsPerBlock - 1) / kRowsPerBlock; }
  __host__ __device__ int64_t column_blocks() const { return (C + kThreads - 1) / kThreads; }
};

struct Step {
  float b2, keep2, epsilon1, epsilon2, clip, lr, shrink;
  bool scale_by_parameter;
  Gate gate;
  float scale = 1;  // of gradients, once begun

  explicit Step(const AdafactorStep& s)
      : b2(float(s.beta2)), keep2(float(1 - s.beta2)), epsilon1(float(s.epsilon1)), epsilon2(float(s.epsilon2)),
        clip(float(s.clip)), lr(float(s.lr)), shrink(float(1 - s.decay * (s.decay_times_lr ? s.lr : 1))),
        scale_by_parameter(s.scale_by_parameter), gate(s.gate) {}

  // False: there is no update.
  __device__ bool begin() {
    scale = gate.factor();
    return !gate.shut();
  }

  __device__ float square(float gradient) const {
    const float g = scale * gradient;
    return g * g + epsilon1;
  }
};

// first[r] = b2 first[r] + (1 - b2) mean_c (g^2 + epsilon1); a warp a row.
__global__ void __launch_bounds__(kThreads) row_means_kernel(Step step, Batch<Matrix> batch) {
  if (!step.begin()) return;
  const int owner = batch.owner(int(blockIdx.x));
  const Matrix t = batch.item[owner];
  const int64_t r = int64_t(int(blockIdx.x) - batch.first[owner]) * kWarps + threadIdx.x / 32;
  if (r >= t.R) return;  // a whole warp
  float sum = 0;
#pragma unroll 4
  for (int64_t c = threadIdx.x % 32; c < t.C; c += 32) sum += step.square(t.gradient[r * t.C + c]);
  sum = warp_sum(sum);
  if (threadIdx.x % 32 == 0) t.first[r] = step.b2 * t.first[r] + step.keep2 * (sum / float(t.C));
}

// column_sum[b, c] = sum over the rows of block b of g^2 + epsilon1; a thread a column.
__global__ void __launch_bounds__(kThreads) column_sums_kernel(Step step, Batch<Matrix> batch) {
  if (!step.begin()) return;
  const int owner = batch.owner(int(blockIdx.x));
  const Matrix t = batch.item[owner];
  const int64_t block = int(blockIdx.x) - batch.first[owner], b = block / t.column_blocks();
  const int64_t c = block % t.column_blocks() * kThreads + threadIdx.x;
  if (c >= t.C) return;
  const int64_t begin = b * kRowsPerBlock, end = min(t.R, begin + kRowsPerBlock);
  float sum = 0;
#pragma unroll 8
  for (int64_t r = begin; r < end; ++r) sum += step.square(t.gradient[r * t.C + c]);
  t.column_sum[b * t.C + c] = sum;
}

// second[c] = b2 second[c] + (1 - b2) mean_r (g^2 + epsilon1).
__global__ void __launch_bounds__(kThreads) column_means_kernel(Step step, Batch<Matrix> batch) {
  if (!step.begin()) return;
  const int owner = batch.owner(int(blockIdx.x));
  const Matrix t = batch.item[owner];
  const int64_t c = int64_t(int(blockIdx.x) - batch.first[owner]) * kThreads + threadIdx.x;
  if (c >= t.C) return;
  float sum = 0;
#pragma unroll 4
  for (int64_t b = 0; b < t.row_blocks(); ++b) sum += t.column_sum[b * t.C + c];
  t.second[c] = step.b2 * t.second[c] + step.keep2 * sum / float(t.R);
}

// mean_first = mean_r first[r]; a block a matrix.
__global__ void __launch_bounds__(kThreads) mean_first_kernel(Batch<Matrix> batch) {
  const Matrix t = batch.item[blockIdx.x];
  if (!t.factored()) return;
  float sum = 0;
  for (int64_t r = threadIdx.x; r < t.R; r += kThreads) sum += t.first[r];
  sum = block_sum<kWarps>(sum);
  if (threadIdx.x == 0) *t.mean_first = sum / float(t.R);
}

// Calls body(i, g, v) for this thread's elements of a piece: the scaled gradient and its mean square. (first / mean)
// is near 1; first * second could be too small for a float.
template <class Body>
__device__ void for_my_updates(const Step& step, const Matrix& t, int64_t piece, const Body& body) {
  const int64_t begin = piece * kPiece + threadIdx.x, end = min(t.size(), (piece + 1) * kPiece);
  const float mean = t.factored() ? *t.mean_first : 0.f;
  // Matrices of less than 2^31 elements divide their indices in 32 bits, which is several times faster.
  const bool small = t.size() < int64_t(1) << 31;
  for (int64_t i = begin; i < end; i += kThreads) {
    float v;
    if (t.factored()) {
      const int64_t r = small ? int64_t(unsigned(i) / unsigned(t.C)) : i / t.C;
      v = t.first[r] / mean * t.second[i - r * t.C];
    } else {
      v = t.second[i];
    }
    body(i, step.scale * t.gradient[i], v);
  }
}

// The squares of update and value; tensors that keep all squares renew them here.
__global__ void __launch_bounds__(kThreads) squares_kernel(Step step, Batch<Matrix> batch) {
  if (!step.begin()) return;
  const int owner = batch.owner(int(blockIdx.x));
  const Matrix t = batch.item[owner];
  const int64_t piece = int(blockIdx.x) - batch.first[owner];
  float sums[2] = {};
  for_my_updates(step, t, piece, [&](int64_t i, float g, float v) {
    if (!t.factored()) t.second[i] = v = step.b2 * v + step.keep2 * (g * g + step.epsilon1);
    const float u = g / sqrtf(v), p = t.value[i];
    sums[0] += u * u;
    sums[1] += p * p;
  });
  block_sum<kWarps>(sums);
  if (threadIdx.x == 0) {
    t.square[piece] = sums[0];
    t.square[t.pieces() + piece] = sums[1];
  }
}

// rate = lr / max(1, rms(u) / clip), times max(epsilon2, rms(p)) if scaled by the parameter; a block a matrix.
__global__ void __launch_bounds__(kThreads) rate_kernel(Step step, Batch<Matrix> batch) {
  if (!step.begin()) return;
  const Matrix t = batch.item[blockIdx.x];
  float sums[2] = {};
  for (int64_t i = threadIdx.x; i < t.pieces(); i += kThreads) {
    sums[0] += t.square[i];
    sums[1] += t.square[t.pieces() + i];
  }
  block_sum<kWarps>(sums);
  if (threadIdx.x > 0) return;
  const float size = float(t.size());
  float rate = step.lr / fmaxf(1, sqrtf(sums[0] / size) / step.clip);
  if (step.scale_by_parameter) rate *= fmaxf(step.epsilon2, sqrtf(sums[1] / size));
  *t.rate = rate;
}

// p = shrink p - rate g / sqrt(v).
__global__ void __launch_bounds__(kThreads) apply_kernel(Step step, Batch<Matrix> batch) {
  if (!step.begin()) return;
  const int owner = batch.owner(int(blockIdx.x));
  const Matrix t = batch.item[owner];
  const float rate = *t.rate;
  for_my_updates(step, t, int(blockIdx.x) - batch.first[owner], [&](int64_t i, float g, float v) {
    const float p = step.shrink * t.value[i] - rate * (g / sqrtf(v));
    t.value[i] = p;
    if (t.working) store_one(t.working + i, p);
  });
}

Matrix matrix_of(const OptimizerTensor& t) {
  return {.value = t.value.data<float>(),
          .gradient = t.gradient.data<float>(),
          .first = t.first.data<float>(),
          .second = t.second.data<float>(),
          .working = t.working.data<bfloat16>(),
          .R = t.value.rows(),
          .C = t.value.cols(),
          .column_sum = nullptr,
          .mean_first = nullptr,
          .square = nullptr,
          .rate = nullptr};
}

int64_t column_sums(const Matrix& t) { return t.factored() ? t.row_blocks() * t.C : 0; }

int64_t scratch_size(std::span<const Matrix> matrices) {
  int64_t size = 0;
  for (const Matrix& t : matrices) size += column_sums(t) + 2 * t.pieces() + 2;
  return size;
}

void lay_out(std::span<Matrix> matrices, float* scratch) {
  const auto take = [&](int64_t count) { return std::exchange(scratch, scratch + count); };
  for (Matrix& t : matrices) {
    t.column_sum = take(column_sums(t));
    t.mean_first = take(1);
    t.square = take(2 * t.pieces());
    t.rate = take(1);
  }
}

void step_matrices(LaunchSite site, const Step& step, std::span<Matrix> matrices) {
  const Scratch<float> scratch(site.stream, scratch_size(matrices));
  lay_out(matrices, scratch.data());
  const auto run = [&](auto kernel, const auto& blocks_of) {
    const Batch<Matrix> batch(std::span<const Matrix>(matrices), blocks_of);
    launch(kernel, dim3(unsigned(batch.blocks())), dim3(kThreads), 0, site, step, batch);
  };
  const auto if_factored = [](const Matrix& t, int64_t blocks) { return t.factored() ? blocks : 0; };
  const auto pieces = [](const Matrix& t) { return t.pieces(); };
  const auto one = [](const Matrix&) { return 1; };
  run(row_means_kernel, [&](const Matrix& t) { return if_factored(t, ceil_div(t.R, kWarps)); });
  run(column_sums_kernel, [&](const Matrix& t) { return if_factored(t, t.row_blocks() * t.column_blocks()); });
  run(column_means_kernel, [&](const Matrix& t) { return if_factored(t, t.column_blocks()); });
  const Batch<Matrix> each(std::span<const Matrix>(matrices), one);
  launch(mean_first_kernel, dim3(unsigned(each.blocks())), dim3(kThreads), 0, site, each);
  run(squares_kernel, pieces);
  run(rate_kernel, one);
  run(apply_kernel, pieces);
}

}  // namespace

void adafactor(Stream& stream, const AdafactorStep& step, std::span<const AdafactorTensor> tensors) {
  std::vector<Matrix> matrices;
  for (const AdafactorTensor& t : tensors)
    if (t.tensor.value.size() > 0) matrices.push_back(matrix_of(t.tensor));
  constexpr size_t kMost = size_t(Batch<Matrix>::kCapacity);
  for (size_t begin = 0; begin < matrices.size(); begin += kMost)
    step_matrices(stream, Step(step), std::span(matrices).subspan(begin, std::min(kMost, matrices.size() - begin)));
}

}  // namespace cambium::gpu
