// Feed-forward activations on the GPU. Which activation is a question at run time, asked once for W
// elements: these kernels wait for memory.
#include "core/kernels/activation.h"

#include "cuda/elementwise.cuh"

namespace cambium::gpu {
namespace {

// Each activation as value(x) and derivative(x).
struct Relu {
  static __device__ float value(float x) { return x > 0 ? x : 0; }
  static __device__ float derivative(float x) { return x > 0 ? 1 : 0; }
};

struct Gelu {  // x Phi(x);  Phi(x) + x phi(x)
  static __device__ float cdf(float x) { return 0.5f * (1 + erff(x * 0.70710678f)); }
  static __device__ float value(float x) { return x * cdf(x); }
  static __device__ float derivative(float x) { return cdf(x) + x * 0.39894228f * expf(-0.5f * x * x); }
};

struct GeluTanh {  // x / 2 (1 + tanh u),  u = sqrt(2 / pi) (x + 0.044715 x^3)
  static __device__ float inner(float x) { return 0.79788456f * (x + 0.044715f * x * x * x); }
  static __device__ float value(float x) { return 0.5f * x * (1 + tanhf(inner(x))); }
  static __device__ float derivative(float x) {
    const float t = tanhf(inner(x));
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.79788456f * (1 + 3 * 0.044715f * x * x);
  }
};

struct Silu {
  static __device__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }
  static __device__ float value(float x) { return x * sigmoid(x); }
  static __device__ float derivative(float x) {
    const float s = sigmoid(x);
    return s * (1 + x * (1 - s));
  }
};

struct Tanh {
  static __device__ float value(float x) { return tanhf(x); }
  static __device__ float derivative(float x) { return 1 - tanhf(x) * tanhf(x); }
};

template <class F>
__device__ void with_activation(Activation kind, const F& f) {
  switch (kind) {
    case Activation::relu: return f(Relu());
    case Activation::gelu: return f(Gelu());
    case Activation::gelu_tanh: return f(GeluTanh());
    case Activation::silu: return f(Silu());
    case Activation::tanh: return f(Tanh());
  }
}

// v = x[d ...] + bias[d ...]
template <int W, class T>
__device__ void load_biased(const T* x, const float* bias, int64_t d, float (&v)[W]) {
  load(x + d, v);
  if (!bias) return;
  float b[W];
  load(bias + d, b);
#pragma unroll
  for (int i = 0; i < W; ++i) v[i] += b[i];
}

template <class T>
struct ForwardOp {
  Activation kind;
  Rows<const T> x;
  const float* bias;
  Rows<T> y;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    float v[W];
    load_biased(x[n], bias, d, v);
    with_activation(kind, [&](auto act) {
#pragma unroll
      for (int i = 0; i < W; ++i) v[i] = act.value(v[i]);
    });
    store(y[n] + d, v);
  }
};

template <class T>
struct BackwardOp {
  Activation kind;
  Rows<const T> dy, x;
  const float* bias;
  Rows<T> dx;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    float g[W], v[W];
    load(dy[n] + d, g);
    load_biased(x[n], bias, d, v);
    with_activation(kind, [&](auto act) {
#pragma unroll
      for (int i = 0; i < W; ++i) g[i] *= act.derivative(v[i]);
    });
    store(dx[n] + d, g);
  }
};

template <class T>
struct GatedForwardOp {
  Activation kind;
  int64_t F;
  Rows<const T> x;
  const float* bias;
  Rows<T> y;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    float gate[W], up[W];
    load_biased(x[n], bias, d, gate);
    load_biased(x[n], bias, F + d, up);
    with_activation(kind, [&](auto act) {
#pragma unroll
      for (int i = 0; i < W; ++i) gate[i] = act.value(gate[i]) * up[i];
    });
    store(y[n] + d, gate);
  }
};

template <class T>
struct GatedBackwardOp {
  Activation kind;
  int64_t F;
  Rows<const T> dy, x;
  const float* bias;
  Rows<T> dx;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    float g[W], gate[W], up[W];
    load(dy[n] + d, g);
    load_biased(x[n], bias, d, gate);
    load_biased(x[n], bias, F + d, up);
    with_activation(kind, [&](auto act) {
#pragma unroll
      for (int i = 0; i < W; ++i) {
        const float x = gate[i];
        gate[i] = g[i] * up[i] * act.derivative(x);
        up[i] = g[i] * act.value(x);
      }
    });
    store(dx[n] + d, gate);
    store(dx[n] + F + d, up);
  }
};

// The halves [0, F) and [F, 2F) of gated rows both start where sixteen bytes do.
template <class... Views>
bool halves_ready(int width, const ConstView& half, const Views&... whole) {
  return vector_ready(width, half) && (vector_ready(width, whole.columns(0, whole.cols() / 2)) && ...);
}

}  // namespace

void activation_forward(Stream& stream, Activation kind, ConstView x, ConstView bias, View y) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    for_each_element<W>(stream, x.rows(), x.cols(), vector_ready(W, x, bias, y),
                        ForwardOp<T>{kind, rows_of<T>(x), bias.data<float>(), rows_of<T>(y)});
  });
}

void activation_backward(Stream& stream, Activation kind, ConstView dy, ConstView x, ConstView bias, View dx) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    for_each_element<W>(stream, x.rows(), x.cols(), vector_ready(W, dy, x, bias, dx),
                        BackwardOp<T>{kind, rows_of<T>(dy), rows_of<T>(x), bias.data<float>(), rows_of<T>(dx)});
  });
}

void gated_forward(Stream& stream, Activation kind, ConstView x, ConstView bias, View y) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    for_each_element<W>(stream, y.rows(), y.cols(), halves_ready(W, y, x, bias),
                        GatedForwardOp<T>{kind, y.cols(), rows_of<T>(x), bias.data<float>(), rows_of<T>(y)});
  });
}

void gated_backward(Stream& stream, Activation kind, ConstView dy, ConstView x, ConstView bias, View dx) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    for_each_element<W>(
        stream, dy.rows(), dy.cols(), halves_ready(W, dy, x, bias, dx),
        GatedBackwardOp<T>{kind, dy.cols(), rows_of<T>(dy), rows_of<T>(x), bias.data<float>(), rows_of<T>(dx)});
  });
}

}  // namespace cambium::gpu
