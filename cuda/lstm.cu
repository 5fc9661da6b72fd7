// One step of an LSTM on the GPU: a thread has one channel of one row.
#include "core/kernels/lstm.h"

#include "cuda/elementwise.cuh"

namespace cambium::gpu {
namespace {

__device__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }

struct LstmStepOp {
  Rows<float> gates;
  Rows<const float> c_before;
  Rows<float> c, h;
  int64_t H;
  template <int W>
  __device__ void at(int64_t n, int64_t k) const {
    float *a = gates[n], i = sigmoid(a[k]), f = sigmoid(a[H + k]), g = tanhf(a[2 * H + k]), o = sigmoid(a[3 * H + k]);
    a[k] = i, a[H + k] = f, a[2 * H + k] = g, a[3 * H + k] = o;
    const float cell = (c_before.data ? f * c_before[n][k] : 0) + i * g;
    c[n][k] = cell;
    h[n][k] = o * tanhf(cell);
  }
};

struct LstmStepBackwardOp {
  Rows<const float> gates, c_before, c, dh;
  Rows<float> dc, dgates;
  int64_t H;
  template <int W>
  __device__ void at(int64_t n, int64_t k) const {
    const float *a = gates[n], i = a[k], f = a[H + k], g = a[2 * H + k], o = a[3 * H + k];
    const float tanh_c = tanhf(c[n][k]), dh_k = dh[n][k];
    const float dcell = dc[n][k] + dh_k * o * (1 - tanh_c * tanh_c);
    float* d = dgates[n];
    d[k] = dcell * g * i * (1 - i);
    d[H + k] = (c_before.data ? dcell * c_before[n][k] : 0) * f * (1 - f);
    d[2 * H + k] = dcell * i * (1 - g * g);
    d[3 * H + k] = dh_k * tanh_c * o * (1 - o);
    dc[n][k] = dcell * f;
  }
};

Rows<const float> rows_or_none(const ConstView& v) { return v ? rows_of<float>(v) : Rows<const float>{nullptr, 0}; }

}  // namespace

void lstm_step(Stream& stream, View gates, ConstView c_before, View c, View h) {
  for_each_element<1>(stream, h.rows(), h.cols(), false,
                      LstmStepOp{rows_of<float>(gates), rows_or_none(c_before), rows_of<float>(c), rows_of<float>(h),
                                 h.cols()});
}

void lstm_step_backward(Stream& stream, ConstView gates, ConstView c_before, ConstView c, ConstView dh, View dc,
                        View dgates) {
  for_each_element<1>(stream, dh.rows(), dh.cols(), false,
                      LstmStepBackwardOp{rows_of<float>(gates), rows_or_none(c_before), rows_of<float>(c),
                                         rows_of<float>(dh), rows_of<float>(dc), rows_of<float>(dgates), dh.cols()});
}

}  // namespace cambium::gpu
