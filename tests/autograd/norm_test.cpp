// The rows of the normalisation ops in the table of op tests.
#include "autograd/ops/norm.h"

#include "tests/support/op_case.h"

namespace cambium::testing {
namespace {

Array rms_norm(const Array& x, const Array& weight) {
  Array y = x;
  for (int64_t n = 0; n < x.rows(); ++n) {
    double square = 0;
    for (int64_t d = 0; d < x.cols(); ++d) square += x(n, d) * x(n, d);
    for (int64_t d = 0; d < x.cols(); ++d)
      y(n, d) = x(n, d) / std::sqrt(square / double(x.cols()) + double(1e-5f)) * weight(d);
  }
  return y;
}

TEST(Ops, RmsNorm) {
  check_op(OpCase{
      .name = "rms_norm",
      .op = RmsNorm{1e-5f},
      .definition = rms_norm,
      .shapes = {{{1, 1}, {1}}, {{3, 5}, {5}}, {{65, 33}, {33}}, {{130, 576}, {576}}, {{0, 16}, {16}}},
      .wide_inputs = {1},
  });
}

Array layer_norm(const Array& x, const Array& weight, const Array& bias) {
  Array y = x;
  const double D = double(x.cols());
  for (int64_t n = 0; n < x.rows(); ++n) {
    double mean = 0, variance = 0;
    for (int64_t d = 0; d < x.cols(); ++d) mean += x(n, d) / D;
    for (int64_t d = 0; d < x.cols(); ++d) variance += (x(n, d) - mean) * (x(n, d) - mean) / D;
    for (int64_t d = 0; d < x.cols(); ++d)
      y(n, d) = (x(n, d) - mean) / std::sqrt(variance + double(1e-5f)) * weight(d) + (bias.size() ? bias(d) : 0);
  }
  return y;
}

TEST(Ops, LayerNorm) {
  check_op(OpCase{
      .name = "layer_norm",
      .op = LayerNorm{1e-5f},
      .definition = layer_norm,
      .shapes = {{{3, 5}, {5}, {5}},
                 {{65, 33}, {33}, {33}},
                 {{9, 768}, {768}, {768}},
                 {{4, 8}, {8}, {}},
                 {{0, 16}, {16}, {16}}},
      .wide_inputs = {1, 2},
  });
}

}  // namespace
}  // namespace cambium::testing
