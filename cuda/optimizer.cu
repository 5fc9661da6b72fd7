// Optimizer updates, gradient norms and what these say of a step on the GPU, for a list of tensors at once. A block
// does one piece of one tensor; sums over tensors go through the pieces' partial sums, which are added in a fixed
// order.
#include "core/kernels/optimizer.h"

#include <cmath>
#include <vector>

#include "core/memory.h"
#include "cuda/multi_tensor.cuh"

namespace cambium::gpu {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kWidth = 4;                                   // elements that a thread takes at a time
constexpr int64_t kPiece = int64_t(4) * kWidth * kThreads;  // elements of a block

// Calls body(i) for the first of each kWidth elements of this thread in piece `piece` of `size` elements.
template <class Body>
__device__ void for_my_elements(int64_t piece, int64_t size, const Body& body) {
  const int64_t begin = piece * kPiece + threadIdx.x * kWidth, end = min(size, (piece + 1) * kPiece);
#pragma unroll 1
  for (int64_t i = begin; i < end; i += kThreads * kWidth) body(i);
}

// Whole groups of aligned elements at once, others one by one.
template <bool kVector>
__device__ void load_group(const float* p, int64_t count, float (&v)[kWidth]) {
  if (kVector && count >= kWidth) load(p, v);
  else load_some(p, count, v);
}
template <bool kVector, class T>
__device__ void store_group(T* p, int64_t count, const float (&v)[kWidth]) {
  if (kVector && count >= kWidth) store(p, v);
  else store_some(p, count, v);
}

template <class T>
bool aligned(const T* p) {
  return reinterpret_cast<uintptr_t>(p) % (kWidth * sizeof(T)) == 0;
}

// ---- element by element: AdamW, SGD ----

struct Parameter {
  float* value;
  const float* gradient;
  float *first, *second;
  bfloat16* working;
  int64_t size;

  explicit Parameter(const OptimizerTensor& t)
      : value(t.value.data<float>()), gradient(t.gradient.data<float>()), first(t.first.data<float>()),
        second(t.second.data<float>()), working(t.working.data<bfloat16>()), size(t.value.size()) {}
  Parameter() = default;

  bool vector_ready() const {
    return aligned(value) && aligned(gradient) && aligned(first) && aligned(second) && aligned(working);
  }
};

struct AdamWOp {
  float b1, b2, keep1, keep2, epsilon, shrink, rate, root2;

  explicit AdamWOp(const AdamWStep& s)
      : b1(float(s.beta1)), b2(float(s.beta2)), keep1(float(1 - s.beta1)), keep2(float(1 - s.beta2)),
        epsilon(float(s.epsilon)), shrink(float(1 - s.lr * s.decay)), rate(float(s.lr / s.correction1)),
        root2(float(1 / std::sqrt(s.correction2))) {}

  template <bool kVector>
  __device__ void at(const Parameter& t, int64_t i, float scale, float (&p)[kWidth]) const {
    float g[kWidth], m[kWidth], v[kWidth];
    load_group<kVector>(t.gradient + i, t.size - i, g);
    load_group<kVector>(t.first + i, t.size - i, m);
    load_group<kVector>(t.second + i, t.size - i, v);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      g[k] *= scale;
      m[k] = b1 * m[k] + keep1 * g[k];
      v[k] = b2 * v[k] + keep2 * g[k] * g[k];
      p[k] = shrink * p[k] - rate * m[k] / (sqrtf(v[k]) * root2 + epsilon);
    }
    store_group<kVector>(t.first + i, t.size - i, m);
    store_group<kVector>(t.second + i, t.size - i, v);
  }
};

struct SgdOp {
  float lr, momentum, decay;

  explicit SgdOp(const SgdStep& s) : lr(float(s.lr)), momentum(float(s.momentum)), decay(float(s.decay)) {}

  template <bool kVector>
  __device__ void at(const Parameter& t, int64_t i, float scale, float (&p)[kWidth]) const {
    float g[kWidth], m[kWidth] = {};
    load_group<kVector>(t.gradient + i, t.size - i, g);
    if (t.first) load_group<kVector>(t.first + i, t.size - i, m);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) {
      m[k] = momentum * m[k] + (scale * g[k] + decay * p[k]);
      p[k] -= lr * m[k];
    }
    if (t.first) store_group<kVector>(t.first + i, t.size - i, m);
  }
};

// Op has `template <bool kVector> __device__ void at(const Parameter&, int64_t i, float scale, float (&p)[kWidth])
// const`, which updates the state of elements i ... i + kWidth - 1 and their values p from scale * gradient.
template <class Op, bool kVector>
__global__ void __launch_bounds__(kThreads) update_kernel(Op op, Gate gate, Batch<Parameter> batch) {
  if (gate.shut()) return;
  const float scale = gate.factor();
  const int owner = batch.owner(int(blockIdx.x));
  const Parameter t = batch.item[owner];
  for_my_elements(int(blockIdx.x) - batch.first[owner], t.size, [&](int64_t i) {
    float p[kWidth];
    load_group<kVector>(t.value + i, t.size - i, p);
    op.template at<kVector>(t, i, scale, p);
    store_group<kVector>(t.value + i, t.size - i, p);
    if (t.working) store_group<kVector>(t.working + i, t.size - i, p);
  });
}

template <class Op>
void update_all(LaunchSite site, const Op& op, const ConstView& gate, std::span<const OptimizerTensor> tensors) {
  std::vector<Parameter> parameters;
  bool vector = true;
  for (const OptimizerTensor& t : tensors) {
    parameters.emplace_back(t);
    vector = vector && parameters.back().vector_ready();
  }
  for_each_part<Parameter>(parameters, [&](std::span<const Parameter> part) {
    const Batch<Parameter> batch(part, [](const Parameter& p) { return ceil_div(p.size, kPiece); });
    launch(vector ? update_kernel<Op, true> : update_kernel<Op, false>, dim3(unsigned(batch.blocks())), dim3(kThreads),
           0, site, op, Gate(gate), batch);
  });
}

// ---- sums of squares ----

struct Values {
  const float* data;
  int64_t size;
};

// partial[block] = the sum of squares of its piece.
template <bool kVector>
__global__ void __launch_bounds__(kThreads) square_pieces_kernel(Batch<Values> batch, double* partial) {
  const int owner = batch.owner(int(blockIdx.x));
  const Values x = batch.item[owner];
  double sum = 0;
  for_my_elements(int(blockIdx.x) - batch.first[owner], x.size, [&](int64_t i) {
    float v[kWidth];
    load_group<kVector>(x.data + i, x.size - i, v);
#pragma unroll
    for (int k = 0; k < kWidth; ++k) sum += double(v[k]) * double(v[k]);
  });
  sum = block_sum<kWarps>(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// One block a tensor.
__global__ void __launch_bounds__(kThreads) sum_pieces_kernel(Batch<Values> batch, const double* partial, double* out) {
  double sum = 0;
  for (int i = batch.first[blockIdx.x] + int(threadIdx.x); i < batch.first[blockIdx.x + 1]; i += kThreads)
    sum += partial[i];
  sum = block_sum<kWarps>(sum);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

// ---- what a step's numbers say to its update ----

// One block, whose first thread adds in order what all fetch.
__global__ void __launch_bounds__(kThreads)
    judge_kernel(double clip, const double* sums, int64_t count, const float* losses, int64_t parts, double* gate,
                 double* report) {
  __shared__ double fetched[kThreads];
  const auto finite = [](double v) { return fabs(v) < double(INFINITY); };
  double loss = 0, total = 0, first = -1;
  for (int64_t begin = 0; begin < count; begin += kThreads) {
    const int mine = int(threadIdx.x), some = int(min(count - begin, int64_t(kThreads)));
    if (mine < some) fetched[mine] = sums[begin + mine];
    __syncthreads();
    for (int i = 0; mine == 0 && i < some; ++i) {
      if (!finite(fetched[i]) && first < 0) first = double(begin + i);
      total += fetched[i];
    }
    __syncthreads();
  }
  if (threadIdx.x > 0) return;
  for (int64_t p = 0; p < parts; ++p) loss += double(losses[p]);
  const double norm = sqrt(total);
  gate[0] = clip > 0 ? min(1.0, clip / (norm + 1e-6)) : 1;
  if (!finite(loss) || first >= 0) gate[1] = 0;
  report[0] = loss, report[1] = norm, report[2] = first;
}

}  // namespace

void adamw(Stream& stream, const AdamWStep& step, std::span<const OptimizerTensor> tensors) {
  update_all(stream, AdamWOp(step), step.gate, tensors);
}

void sgd(Stream& stream, const SgdStep& step, std::span<const OptimizerTensor> tensors) {
  update_all(stream, SgdOp(step), step.gate, tensors);
}

void square_sums(Stream& stream, std::span<const ConstView> tensors, View out) {
  std::vector<Values> values;
  bool vector = true;
  for (const ConstView& t : tensors) {
    values.push_back({t.data<float>(), t.size()});
    vector = vector && aligned(values.back().data);
  }
  double* sums = out.data<double>();
  for_each_part<Values>(values, [&](std::span<const Values> part) {
    const Batch<Values> batch(part, [](const Values& v) { return ceil_div(v.size, kPiece); });
    const Scratch<double> partial(stream, batch.blocks());
    launch(vector ? square_pieces_kernel<true> : square_pieces_kernel<false>, dim3(unsigned(batch.blocks())),
           dim3(kThreads), 0, stream, batch, partial.data());
    launch(sum_pieces_kernel, dim3(unsigned(part.size())), dim3(kThreads), 0, stream, batch, partial.data(), sums);
    sums += part.size();
  });
}

void judge_step(Stream& stream, double clip, ConstView sums, ConstView losses, View gate, View report) {
  launch(judge_kernel, dim3(1), dim3(kThreads), 0, stream, clip, sums.data<double>(), sums.size(), losses.data<float>(),
         losses.size(), gate.data<double>(), report.data<double>());
}

}  // namespace cambium::gpu
