// The rows of row-moving ops in the table of op tests.
#include "autograd/ops/rows.h"

#include "autograd/ops/rotary.h"
#include "tests/support/op_case.h"

namespace cambium::testing {
namespace {

// The op with its indices on the device of its first input.
struct TakeRowsCase {
  std::vector<int32_t> index;
  int64_t sources;
  float scale;
  bool parameter;

  using Saved = TakeRows::Saved;
  TakeRows on(Device device, DType dtype) const {
    return {std::make_shared<RowMap>(index, sources, device), scale, dtype, parameter};
  }
  Tensor forward(Saved& saved, Needs<2> needs, const Tensor& x, const Tensor& base) const {
    return on(x.device(), x.dtype()).forward(saved, needs, x, base);
  }
  void backward(const Saved& saved, Tensor dy, Grads<2> grads) const {
    const TakeRows op = on(dy.device(), dy.dtype());
    op.backward(saved, std::move(dy), grads);
  }
};

TEST(Ops, TakeRows) {
  const std::vector<int32_t> index = {3, -1, 0, 3, 3, 2, -1, 0};
  for (const bool parameter : {false, true})
    check_op(OpCase{
        .name = "take_rows",
        .op = TakeRowsCase{index, 4, 1.5f, parameter},
        .definition =
            [=](const Array& x, const Array& base) {
              Array y({8, x.cols()});
              for (int64_t n = 0; n < 8; ++n)
                for (int64_t d = 0; d < x.cols(); ++d)
                  y(n, d) = (base.size() ? base(n, d) : 0) + (index[size_t(n)] < 0 ? 0 : 1.5 * x(index[size_t(n)], d));
              return y;
            },
        .shapes = {{{4, 1}, {8, 1}}, {{4, 33}, {8, 33}}, {{4, 20}, {}}},
    });
}

TEST(TakeRows, RefusesRowsThatAreNotThere) { EXPECT_THROW(RowMap({0, 4}, 4, Device::cpu()), Error); }

TEST(Ops, Slice) {
  check_op(OpCase{
      .name = "slice",
      .op = Slice{1, 3},
      .definition =
          +[](const Array& x) {
            Array y({2, x.cols()});
            std::copy_n(x.values.begin() + x.cols(), 2 * x.cols(), y.values.begin());
            return y;
          },
      .shapes = {{{3, 5}}, {{4, 1}}},
  });
}

TEST(Ops, Join) {
  check_op(OpCase{
      .name = "join",
      .op = Join{},
      .definition =
          +[](const Array& a, const Array& b, const Array& c, const Array& d, const Array& e, const Array& f,
              const Array& g, const Array& h) {
            Array y;
            for (const Array* x : {&a, &b, &c, &d, &e, &f, &g, &h})
              y.values.insert(y.values.end(), x->values.begin(), x->values.end());
            y.shape = {int64_t(y.values.size()) / a.cols(), a.cols()};
            return y;
          },
      .shapes = {{{2, 3}, {1, 3}, {}, {}, {}, {}, {}, {}},
                 {{1, 2}, {2, 2}, {1, 2}, {3, 2}, {1, 2}, {1, 2}, {2, 2}, {1, 2}}},
  });
}

// Half the angle table is cosines, half sines; position -1 is not rotated.
struct RotateCase {
  int heads, size, rotary;
  using Saved = Rotate::Saved;

  static Array angles(int64_t rotary) {
    Array table({6, rotary});
    for (int64_t p = 0; p < 6; ++p)
      for (int64_t i = 0; i < rotary / 2; ++i) {
        const double angle = double(p) * std::pow(100.0, -2.0 * double(i) / double(rotary));
        table(p, i) = std::cos(angle);
        table(p, rotary / 2 + i) = std::sin(angle);
      }
    return table;
  }
  static int32_t position(int64_t n) { return int32_t(n * 5 % 7) - 1; }
  Rotate on(const Tensor& x) const {
    std::vector<int32_t> positions;
    for (int64_t n = 0; n < x.rows(); ++n) positions.push_back(position(n));
    return {heads, size, Tensor::of(positions, x.device()),
            to_tensor(angles(rotary), accumulator(x.dtype()), x.device())};
  }
  Tensor forward(Saved& saved, Needs<1> needs, const Tensor& x) const { return on(x).forward(saved, needs, x); }
  void backward(const Saved& saved, Tensor dy, Grads<1> grads) const {
    const Rotate op = on(dy);
    op.backward(saved, std::move(dy), grads);
  }
};

TEST(Ops, Rotate) {
  for (const int rotary : {6, 4})
    check_op(OpCase{
        .name = "rotate",
        .op = RotateCase{2, 6, rotary},
        .definition =
            [=](const Array& x) {
              const Array table = RotateCase::angles(rotary);
              Array y = x;
              for (int64_t n = 0; n < x.rows(); ++n)
                for (int64_t h = 0; h < 2 && RotateCase::position(n) >= 0; ++h)
                  for (int64_t i = 0; i < rotary / 2; ++i) {
                    const double c = table(RotateCase::position(n), i),
                                 s = table(RotateCase::position(n), rotary / 2 + i);
                    const double a = x(n, h * 6 + i), b = x(n, h * 6 + rotary / 2 + i);
                    y(n, h * 6 + i) = a * c - b * s;
                    y(n, h * 6 + rotary / 2 + i) = b * c + a * s;
                  }
              return y;
            },
        .shapes = {{{1, 12}}, {{9, 15}}, {{0, 12}}},
    });
}

}  // namespace
}  // namespace cambium::testing
