// A layer of an LSTM that reads a sequence in both directions, on the tape.
#pragma once

#include "autograd/op.h"
#include "core/kernels/lstm.h"
#include "core/kernels/matmul.h"

namespace cambium {

// One sequence of P rows. x: what each row gives to the gates, x_t W_ih^T + b_ih + b_hh, [P, 4H] with columns i, f, g, o,
// of the direction from first to last and of the one back; weight: W_hh [4H, H] of each.
//   gates_t = x_t + h_{t-1} W_hh^T;  c, h: core/kernels/lstm.h;  y_t = [h forwards | h backwards], [P, 2H]
// All in one accumulator type.
struct BidirectionalLstm {
  enum Input { kX, kWeight, kBackX, kBackWeight };
  struct Saved {
    Tensor gates, cells, weight, back_gates, back_cells, back_weight, y;
  };

  Tensor forward(Saved& saved, Needs<4> needs, const Tensor& x, const Tensor& weight, const Tensor& back_x,
                 const Tensor& back_weight) const {
    const int64_t P = x.rows(), H = weight.cols();
    CHECK(x.cols() == 4 * H && weight.rows() == 4 * H && back_x.shape() == x.shape() &&
              back_weight.shape() == weight.shape(),
          "lstm: x ", x.shape(), ", weight ", weight.shape(), ", backwards ", back_x.shape(), " and ",
          back_weight.shape());
    Saved all{x.clone(), Tensor::empty({P, H}, x.dtype(), x.device()), weight, back_x.clone(),
              Tensor::empty({P, H}, x.dtype(), x.device()), back_weight, Tensor::empty({P, 2 * H}, x.dtype(), x.device())};
    for (const Direction& d : directions(all))
      for (int64_t s = 0; s < P; ++s) step(d, s);
    Tensor y = all.y;
    if (needs[kX] || needs[kWeight] || needs[kBackX] || needs[kBackWeight]) saved = std::move(all);
    return y;
  }

  void backward(const Saved& saved, Tensor dy, Grads<4> grads) const {
    for (const Direction& d : directions(saved)) {
      Tensor dgates = Tensor::like(d.gates), dh = Tensor::zeros({1, d.H()}, dy.dtype(), dy.device()),
             dc = Tensor::zeros({1, d.H()}, dy.dtype(), dy.device());
      for (int64_t s = d.P() - 1; s >= 0; --s) step_backward(d, s, dy, dh, dc, dgates);
      if (grads.needs(d.weight_input)) grads.add(d.weight_input, weight_gradient(d, dgates));
      if (grads.needs(d.x_input)) grads.add(d.x_input, std::move(dgates));
    }
  }

 private:
  struct Direction {
    const Tensor &gates, &cells, &weight, &y;
    bool back;
    int x_input, weight_input;

    int64_t P() const { return gates.rows(); }
    int64_t H() const { return weight.cols(); }
    // The row that step s reads.
    int64_t row(int64_t s) const { return back ? P() - 1 - s : s; }
    // Its part of y, or of dy.
    View part(const Tensor& both, int64_t s) const {
      return both.view().row_range(row(s), row(s) + 1).columns(back ? H() : 0, back ? 2 * H() : H());
    }
    View of(const Tensor& t, int64_t s) const { return t.view().row_range(row(s), row(s) + 1); }
    ConstView cell_before(int64_t s) const { return s > 0 ? ConstView(of(cells, s - 1)) : ConstView(); }
  };
  static std::array<Direction, 2> directions(const Saved& s) {
    return {Direction{s.gates, s.cells, s.weight, s.y, false, kX, kWeight},
            Direction{s.back_gates, s.back_cells, s.back_weight, s.y, true, kBackX, kBackWeight}};
  }

  static void step(const Direction& d, int64_t s) {
    Stream& stream = d.y.stream();
    const View gates = d.of(d.gates, s);
    if (s > 0)
      DISPATCH(matmul, stream)
    (stream, d.part(d.y, s - 1), d.weight, {}, {.transpose_b = true, .accumulate = true}, gates);
    DISPATCH(lstm_step, stream)(stream, gates, d.cell_before(s), d.of(d.cells, s), d.part(d.y, s));
  }

  // dh: of this step's h from the step behind it; becomes that of the step before.
  static void step_backward(const Direction& d, int64_t s, const Tensor& dy, Tensor& dh, Tensor& dc,
                            const Tensor& dgates) {
    Stream& stream = dy.stream();
    DISPATCH(add_scaled, stream)(stream, dh, d.part(dy, s), 1, dh);
    const View dg = d.of(dgates, s);
    DISPATCH(lstm_step_backward, stream)
    (stream, d.of(d.gates, s), d.cell_before(s), d.of(d.cells, s), dh, dc, dg);
    if (s > 0) DISPATCH(matmul, stream)(stream, dg, d.weight, {}, {}, dh);
  }

  // dW_hh = sum over steps of dgates_t^T h_{t-1}
  static Tensor weight_gradient(const Direction& d, const Tensor& dgates) {
    Tensor dw = Tensor::zeros(d.weight.shape(), dgates.dtype(), dgates.device());
    const int64_t P = d.P(), H = d.H(), later = d.back ? 0 : 1, before = d.back ? 1 : 0;
    if (P < 2) return dw;
    const View h = d.y.view().row_range(before, before + P - 1).columns(d.back ? H : 0, d.back ? 2 * H : H);
    Stream& stream = dgates.stream();
    DISPATCH(matmul, stream)
    (stream, dgates.view().row_range(later, later + P - 1), h, {}, {.transpose_a = true}, dw);
    return dw;
  }
};

}  // namespace cambium
