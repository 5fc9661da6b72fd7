// Rotary position embedding on the GPU. The thread that holds channels of a rotated first half does
// their partners in the second half as well, so that y may be x.
#include "core/kernels/rotary.h"

#include "cuda/elementwise.cuh"

namespace cambium::gpu {
namespace {

template <class T>
struct RotaryOp {
  int heads, head_size, half;
  float sign;
  bool in_place;
  Rows<const T> x;
  const int32_t* position;
  Rows<const float> table;
  Rows<T> y;

  template <int W>
  __device__ void at(int64_t n, int64_t d) const {
    const int32_t p = position[n];
    const int channel = int(d) % head_size;
    const bool rotated = p >= 0 && d < int64_t(heads) * head_size && channel < 2 * half;
    float a[W];
    if (!rotated) {
      if (in_place) return;
      load(x[n] + d, a);
      return store(y[n] + d, a);
    }
    if (channel >= half) return;
    float b[W], cosine[W], sine[W];
    load(x[n] + d, a);
    load(x[n] + d + half, b);
    load(table[p] + channel, cosine);
    load(table[p] + half + channel, sine);
#pragma unroll
    for (int i = 0; i < W; ++i) {
      const float first = a[i], s = sign * sine[i];
      a[i] = first * cosine[i] - b[i] * s;
      b[i] = b[i] * cosine[i] + first * s;
    }
    store(y[n] + d, a);
    store(y[n] + d + half, b);
  }
};

}  // namespace

void rotary(Stream& stream, const RotaryConfig& config, ConstView x, ConstView position, ConstView table, View y) {
  const int half = int(table.cols() / 2);
  visit_gpu(x.dtype(), [&]<class T>(Type<T>) {
    constexpr int W = kPack<T>;
    const bool vector = vector_ready(W, x, y, table) && half % W == 0 && config.head_size % W == 0;
    for_each_element<W>(
        stream, x.rows(), x.cols(), vector,
        RotaryOp<T>{config.heads, config.head_size, half, config.inverse ? -1.f : 1.f, x.pointer == y.pointer,
                    rows_of<T>(x), position.data<int32_t>(), rows_of<float>(table), rows_of<T>(y)});
  });
}

}  // namespace cambium::gpu
