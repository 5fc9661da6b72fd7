// The row of the LSTM in the table of op tests.
#include "autograd/ops/lstm.h"

#include "tests/support/op_case.h"

namespace cambium::testing {
namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// Hochreiter & Schmidhuber's cell with forget gates, over the rows in an order.
void run(const Array& x, const Array& weight, bool back, Array& y) {
  const int64_t P = x.rows(), H = weight.shape[1];
  std::vector<double> h(size_t(H), 0), c(size_t(H), 0);
  for (int64_t s = 0; s < P; ++s) {
    const int64_t row = back ? P - 1 - s : s;
    std::vector<double> gates(size_t(4 * H));
    for (int64_t k = 0; k < 4 * H; ++k) {
      gates[size_t(k)] = x(row, k);
      for (int64_t j = 0; j < H; ++j) gates[size_t(k)] += weight(k, j) * h[size_t(j)];
    }
    for (int64_t k = 0; k < H; ++k) {
      const auto gate = [&](int64_t which) { return gates[size_t(which * H + k)]; };
      c[size_t(k)] = sigmoid(gate(1)) * c[size_t(k)] + sigmoid(gate(0)) * std::tanh(gate(2));
      h[size_t(k)] = sigmoid(gate(3)) * std::tanh(c[size_t(k)]);
      y(row, (back ? H : 0) + k) = h[size_t(k)];
    }
  }
}

TEST(Ops, BidirectionalLstm) {
  check_op(OpCase{
      .name = "lstm",
      .op = BidirectionalLstm{},
      .definition =
          +[](const Array& x, const Array& w, const Array& back_x, const Array& back_w) {
            Array y({x.rows(), x.cols() / 2});
            run(x, w, false, y);
            run(back_x, back_w, true, y);
            return y;
          },
      .shapes = {{{1, 4}, {4, 1}, {1, 4}, {4, 1}}, {{5, 12}, {12, 3}, {5, 12}, {12, 3}},
                 {{20, 32}, {32, 8}, {20, 32}, {32, 8}}},
      .wide_inputs = {0, 1, 2, 3},
      .saves_freely = {0, 1, 2, 3},
  });
}

}  // namespace
}  // namespace cambium::testing
