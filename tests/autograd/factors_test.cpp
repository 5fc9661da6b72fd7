// The rows of factors of columns and rows in the table of op tests.
#include "autograd/ops/factors.h"

#include "tests/support/op_case.h"

namespace cambium::testing {
namespace {

TEST(Ops, ScaleColumns) {
  check_op(OpCase{
      .name = "scale_columns",
      .op = ScaleColumns{},
      .definition =
          +[](const Array& x, const Array& f, const Array& c) {
            Array y = x;
            for (int64_t n = 0; n < x.rows(); ++n)
              for (int64_t d = 0; d < x.cols(); ++d)
                y(n, d) = f(d) * x(n, d) + (c.size() ? (1 - f(d)) * c(d) : 0);
            return y;
          },
      .shapes = {{{1, 1}, {1}, {}}, {{7, 33}, {33}, {33}}, {{130, 64}, {64}, {}}, {{0, 8}, {8}, {8}}},
      .wide_inputs = {1, 2},
  });
}

TEST(Ops, ScaleSomeColumns) {
  check_op(OpCase{
      .name = "scale_columns",
      .op = ScaleColumns{3, 12},
      .definition =
          +[](const Array& x, const Array& f, const Array& c) {
            Array y = x;
            for (int64_t n = 0; n < x.rows(); ++n)
              for (int64_t d = 3; d < 12; ++d)
                y(n, d) = f(d - 3) * x(n, d) + (c.size() ? (1 - f(d - 3)) * c(d - 3) : 0);
            return y;
          },
      .shapes = {{{5, 12}, {9}, {}}, {{67, 33}, {9}, {9}}},
      .wide_inputs = {1, 2},
  });
}

TEST(Ops, ScaleRows) {
  check_op(OpCase{
      .name = "scale_rows",
      .op = ScaleRows{},
      .definition =
          +[](const Array& x, const Array& f) {
            Array y = x;
            for (int64_t n = 0; n < x.rows(); ++n)
              for (int64_t d = 0; d < x.cols(); ++d) y(n, d) = f(n) * x(n, d);
            return y;
          },
      .shapes = {{{1, 1}, {1}}, {{7, 33}, {7}}, {{5, 520}, {5}}},
      .wide_inputs = {1},
  });
}

// A factor of 1 leaves the bits alone, about whatever centre.
TEST(Ops, ScaleColumnsByOneChangesNothing) {
  const Tensor x = to_tensor(random_array({9, 21}, 3), DType::f32), c = to_tensor(random_array({21}, 4), DType::f32);
  const Tensor one = Tensor::of(std::vector<float>(21, 1.f));
  EXPECT_TRUE(same_bits(apply(ScaleColumns{}, Var(x), Var(one), Var(c)).value, x));
}

TEST(Ops, OverRoot) {
  const Tensor m = Tensor::of(std::vector<double>{3, -1, 0.5}), square = Tensor::of(std::vector<double>{4, 0.25, 9});
  Tape tape;
  const Var leaf = tape.leaf(m), y = apply(OverRoot{square}, leaf);
  tape.backward(y, Tensor::of(std::vector<double>{1, 2, 3}));
  const Tensor dm = tape.gradient(leaf);
  const double expected[] = {1.5, -2, 0.5 / 3}, slope[] = {0.5, 4, 1};
  for (int i = 0; i < 3; ++i) {
    EXPECT_DOUBLE_EQ(y.value.data<double>()[i], expected[i]);
    EXPECT_DOUBLE_EQ(dm.data<double>()[i], slope[i]);
  }
}

}  // namespace
}  // namespace cambium::testing
