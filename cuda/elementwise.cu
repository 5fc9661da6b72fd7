// Element-wise kernels and column sums on the GPU.
#include "core/kernels/elementwise.h"

#include "cuda/column_sum.cuh"
#include "cuda/elementwise.cuh"
#include "cuda/matmul.h"

namespace cambium::gpu {
namespace {

template <class X, class Y>
struct ConvertOp {
  Rows<const X> x;
  Rows<Y> y;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    float v[W];
    load(x[n] + d, v);
    store(y[n] + d, v);
  }
};

template <class A, class B>
struct AddScaledOp {
  Rows<const A> a;
  Rows<const B> b;
  float scale;
  Rows<A> y;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    float v[W], w[W];
    load(a[n] + d, v);
    load(b[n] + d, w);
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] += scale * w[i];
    store(y[n] + d, v);
  }
};

// A factor that the host knows, and one that lies on the device.
struct KnownFactor {
  float value;
  __device__ float operator()() const { return value; }
};
struct StoredFactor {
  const float* value;
  __device__ float operator()() const { return *value; }
};

template <class T, class Factor>
struct ScaleOp {
  Rows<const T> x;
  Factor factor;
  Rows<T> y;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    const float f = factor();
    if (f == 1 && x.data == y.data) return;
    float v[W];
    load(x[n] + d, v);
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] *= f;
    store(y[n] + d, v);
  }
};

template <class T>
struct ScaleColumnsOp {
  Rows<const T> x;
  const float *factor, *centre;
  Rows<T> y;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    float v[W], f[W], c[W] = {};
    load(x[n] + d, v);
    load(factor + d, f);
    if (centre) load(centre + d, c);
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] = v[i] * f[i] + (1 - f[i]) * c[i];
    store(y[n] + d, v);
  }
};

template <class T>
struct AddBiasOp {
  const float* bias;
  Rows<T> y;
  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    float v[W], b[W];
    load(y[n] + d, v);
    load(bias + d, b);
#pragma unroll
    for (int i = 0; i < W; ++i) v[i] += b[i];
    store(y[n] + d, v);
  }
};

template <class T>
struct ColumnTerm {
  Rows<const T> x;
  template <int W>
  __device__ void add(int64_t n, int64_t d, float (&sum)[W]) const {
    float v[W];
    load(x[n] + d, v);
#pragma unroll
    for (int i = 0; i < W; ++i) sum[i] += v[i];
  }
};

// Contiguous matrices are one long row.
template <class... Views>
void flatten(Views&... views) {
  if (!(views.contiguous() && ...)) return;
  ((views.col_count *= views.row_count, views.stride = views.col_count, views.row_count = 1), ...);
}

template <class F>
void visit_pair(DType a, DType b, const F& f) {
  visit_gpu(a, [&]<class A>(Type<A> ta) { visit_gpu(b, [&]<class B>(Type<B> tb) { f(ta, tb); }); });
}

template <class A, class B>
inline constexpr int kWidth = std::max(kPack<A>, kPack<B>);

template <class Factor>
void scale_rows(LaunchSite site, ConstView x, Factor factor, View y) {
  flatten(x, y);
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    for_each_element<W>(site, x.rows(), x.cols(), vector_ready(W, x, y),
                        ScaleOp<T, Factor>{rows_of<T>(x), factor, rows_of<T>(y)});
  });
}

}  // namespace

void convert(Stream& stream, ConstView x, View y) {
  flatten(x, y);
  visit_pair(x.dtype(), y.dtype(), [&]<class X, class Y>(Type<X>, Type<Y>) {
    constexpr int W = kWidth<X, Y>;
    for_each_element<W>(stream, x.rows(), x.cols(), vector_ready(W, x, y),
                        ConvertOp<X, Y>{rows_of<X>(x), rows_of<Y>(y)});
  });
}

void add_scaled(Stream& stream, ConstView a, ConstView b, float scale, View y) {
  flatten(a, b, y);
  visit_pair(a.dtype(), b.dtype(), [&]<class A, class B>(Type<A>, Type<B>) {
    constexpr int W = kWidth<A, B>;
    for_each_element<W>(stream, a.rows(), a.cols(), vector_ready(W, a, b, y),
                        AddScaledOp<A, B>{rows_of<A>(a), rows_of<B>(b), scale, rows_of<A>(y)});
  });
}

void scale(Stream& stream, ConstView x, double scale, View y) { scale_rows(stream, x, KnownFactor{float(scale)}, y); }

void scale_by(Stream& stream, ConstView x, ConstView factor, View y) {
  scale_rows(stream, x, StoredFactor{factor.data<float>()}, y);
}

void scale_columns(Stream& stream, ConstView x, ConstView factor, ConstView centre, View y) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    const float* c = centre ? centre.data<float>() : nullptr;
    const bool vector = vector_ready(W, x, factor, y) && (!centre || vector_ready(W, centre));
    for_each_element<W>(stream, x.rows(), x.cols(), vector,
                        ScaleColumnsOp<T>{rows_of<T>(x), factor.data<float>(), c, rows_of<T>(y)});
  });
}

void add_bias(Stream& stream, ConstView bias, View y) {
  visit_gpu(y.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    for_each_element<W>(stream, y.rows(), y.cols(), vector_ready(W, bias, y),
                        AddBiasOp<T>{bias.data<float>(), rows_of<T>(y)});
  });
}

void column_sum(Stream& stream, ConstView x, bool accumulate, View y) {
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    sum_over_rows<W>(stream, x.rows(), x.cols(), vector_ready(W, x), accumulate, y.data<float>(),
                     ColumnTerm<T>{rows_of<T>(x)});
  });
}

}  // namespace cambium::gpu
