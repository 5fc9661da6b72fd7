// Element-wise and row kernels: the GPU side against the CPU side, on sizes that fit no vector,
// warp or block, and on strided rows. (tests/autograd compares every op as well.)
#include "core/kernels/activation.h"
#include "core/kernels/dropout.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/low_rank.h"
#include "core/kernels/norm.h"
#include "core/kernels/rotary.h"
#include "core/kernels/rows.h"
#include "tests/cuda/sides.h"

namespace cambium::testing {
namespace {

constexpr DType kTypes[] = {DType::f32, DType::bf16};
// Empty, one element, odd, whole vectors, more than a warp's and than a block's share.
const std::vector<Shape> kShapes = {{0, 8}, {1, 1}, {3, 5}, {2, 8}, {7, 33}, {5, 64}, {129, 40}, {2, 1030}, {1, 2304}};
// Columns before and after the matrix: none, and such that vectors fit or do not.
const std::vector<std::pair<int64_t, int64_t>> kMargins = {{0, 0}, {8, 8}, {3, 2}};

// Calls check(shape, dtype, before, after) for all of these.
template <class Check>
void for_each_case(const Check& check) {
  for (const Shape& shape : kShapes)
    for (const DType dtype : kTypes)
      for (const auto& [before, after] : kMargins) check(shape, dtype, before, after);
}

std::string what(const char* kernel, const Shape& shape, DType dtype, int64_t before) {
  return text(kernel, " ", shape, " ", name_of(dtype), ", ", before, " columns before");
}

TEST(GpuKernels, Convert) {
  for_each_case([](const Shape& shape, DType dtype, int64_t before, int64_t after) {
    for (const DType to : kTypes)
      expect_sides_equal(
          [&](Stream& s) {
            const Strided x = strided(random_array(shape, 1), dtype, s.device, before, after);
            const Strided y = strided(random_array(shape, 2), to, s.device, before, after);
            DISPATCH(convert, s)(s, x, y);
            return std::vector{y.all};
          },
          what("convert", shape, dtype, before));
  });
}

TEST(GpuKernels, ConvertRoundsToNearestEven) {
  Array x({1, 6});
  x.values = {1.00390625, 1.01171875, -1.00390625, 3.4e38, INFINITY, 1e-40};
  expect_sides_equal([&](Stream& s) { return std::vector{to_tensor(x, DType::f32, s.device).to(DType::bf16)}; },
                     "ties");
}

TEST(GpuKernels, AddScaleAndScaleColumns) {
  for_each_case([](const Shape& shape, DType dtype, int64_t before, int64_t after) {
    for (const DType other : kTypes)
      expect_sides_agree(
          [&](Stream& s) {
            const Strided a = strided(random_array(shape, 1), dtype, s.device, before, after);
            const Strided b = strided(random_array(shape, 2), other, s.device, before, after);
            const Strided y = strided(random_array(shape, 3), dtype, s.device, before, after);
            const Strided z = strided(random_array(shape, 3), dtype, s.device, before, after);
            const Tensor factor = to_tensor(random_array({shape[1]}, 4), DType::f32, s.device);
            DISPATCH(add_scaled, s)(s, a, b, -0.7f, y);
            DISPATCH(scale, s)(s, y, 1.3, y);
            DISPATCH(scale_columns, s)(s, a, factor, {}, z);
            return std::vector{y.all, z.all};
          },
          Share().of(dtype), what("add", shape, dtype, before));
  });
}

// The factor lies on the device; 1 leaves the matrix itself alone, NaN and all.
TEST(GpuKernels, ScaleBy) {
  for_each_case([](const Shape& shape, DType dtype, int64_t before, int64_t after) {
    for (const float factor : {1.f, -0.3f})
      expect_sides_equal(
          [&](Stream& s) {
            const Strided x = strided(random_array(shape, 1), dtype, s.device, before, after);
            const Strided y = strided(random_array(shape, 2), dtype, s.device, before, after);
            const Tensor f = Tensor::of(std::vector<float>{factor}, s.device);
            DISPATCH(scale_by, s)(s, x, f, y);
            DISPATCH(scale_by, s)(s, x, f, x);
            return std::vector{x.all, y.all};
          },
          what("scale_by", shape, dtype, before));
  });
}

TEST(GpuKernels, ColumnSum) {
  for_each_case([](const Shape& shape, DType dtype, int64_t before, int64_t after) {
    for (const bool accumulate : {false, true})
      expect_sides_agree(
          [&](Stream& s) {
            const Strided x = strided(random_array(shape, 1), dtype, s.device, before, after);
            const Tensor y = to_tensor(random_array({shape[1]}, 2), DType::f32, s.device);
            DISPATCH(column_sum, s)(s, x, accumulate, y);
            return std::vector{y};
          },
          2e-6, what("column_sum", shape, dtype, before));
  });
}

TEST(GpuKernels, ColumnSumOfManyRows) {
  for (const DType dtype : kTypes)
    expect_sides_agree(
        [&](Stream& s) {
          const Tensor x = to_tensor(random_array({1500, 24}, 1), dtype, s.device),
                       y = Tensor::empty({24}, DType::f32, s.device);
          DISPATCH(column_sum, s)(s, x, false, y);
          return std::vector{y};
        },
        2e-6, "column_sum");
}

TEST(GpuKernels, Norms) {
  for_each_case([](const Shape& shape, DType dtype, int64_t before, int64_t after) {
    expect_sides_agree(
        [&](Stream& s) {
          const int64_t N = shape[0], D = shape[1];
          const auto wide = [&](const Shape& to, uint64_t seed) {
            return to_tensor(random_array(to, seed), DType::f32, s.device);
          };
          const Strided x = strided(random_array(shape, 1), dtype, s.device, before, after);
          const Strided dy = strided(random_array(shape, 2), dtype, s.device, before, after);
          const Strided rms = strided(Array(shape), dtype, s.device, before, after),
                        layer = strided(Array(shape), dtype, s.device, before, after);
          const Tensor rms_dx = Tensor::empty(shape, dtype, s.device), layer_dx = Tensor::empty(shape, dtype, s.device);
          const Tensor weight = wide({D}, 3), bias = D % 2 ? wide({D}, 4) : Tensor();
          const Tensor r = wide({N}, 5), mean = wide({N}, 6), rstd = wide({N}, 7), rms_dw = wide({D}, 8),
                       layer_dw = wide({D}, 9);
          DISPATCH(rms_norm_forward, s)(s, x, weight, 1e-5f, rms, r);
          DISPATCH(rms_norm_backward_input, s)(s, dy, x, weight, r, rms_dx);
          DISPATCH(rms_norm_backward_weight, s)(s, dy, x, r, rms_dw);
          DISPATCH(layer_norm_forward, s)(s, x, weight, bias, 1e-5f, layer, mean, rstd);
          DISPATCH(layer_norm_backward_input, s)(s, dy, x, weight, mean, rstd, layer_dx);
          DISPATCH(layer_norm_backward_weight, s)(s, dy, x, mean, rstd, layer_dw);
          return std::vector{rms.all, r, rms_dx, rms_dw, layer.all, mean, rstd, layer_dx, layer_dw};
        },
        dtype == DType::bf16 ? 1e-2 : 1e-5, what("norms", shape, dtype, before));
  });
}

TEST(GpuKernels, Activations) {
  for (const Activation kind :
       {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu, Activation::tanh})
    for_each_case([&](const Shape& shape, DType dtype, int64_t before, int64_t after) {
      if (shape[1] > 100 && kind != Activation::gelu) return;
      expect_sides_agree(
          [&](Stream& s) {
            const int64_t N = shape[0], F = shape[1];
            const auto some = [&](const Shape& to, uint64_t seed) {
              return strided(random_array(to, seed, 3), dtype, s.device, before, after);
            };
            const auto bias = [&](int64_t n) {
              return F % 2 ? to_tensor(random_array({n}, 9), DType::f32, s.device) : Tensor();
            };
            const Strided x = some(shape, 1), dy = some(shape, 2), y = some(shape, 3), dx = some(shape, 3);
            const Strided gated = some({N, 2 * F}, 4), gated_y = some(shape, 3), gated_dx = some({N, 2 * F}, 3);
            DISPATCH(activation_forward, s)(s, kind, x, bias(F), y);
            DISPATCH(activation_backward, s)(s, kind, dy, x, bias(F), dx);
            DISPATCH(gated_forward, s)(s, kind, gated, bias(2 * F), gated_y);
            DISPATCH(gated_backward, s)(s, kind, dy, gated, bias(2 * F), gated_dx);
            return std::vector{y.all, dx.all, gated_y.all, gated_dx.all};
          },
          Share().of(dtype), what(std::string(name_of(kind)).c_str(), shape, dtype, before));
    });
}

// The same elements are dropped: the outputs have the same bits.
TEST(GpuKernels, DropoutMasksAreEqual) {
  for_each_case([](const Shape& shape, DType dtype, int64_t before, int64_t after) {
    for (const float p : {0.0f, 0.3f, 1.0f - 0x1p-24f})
      for (const bool add : {false, true})
        expect_sides_agree(
            [&](Stream& s) {
              std::vector<int32_t> ids;
              for (int32_t n = 0; n < shape[0]; ++n) ids.insert(ids.end(), {n / 3 + 1000, n % 3});
              const Strided x = strided(random_array(shape, 1), dtype, s.device, before, after);
              const Strided residual = strided(random_array(shape, 2), dtype, s.device, before, after);
              const Tensor token = integers(ids, {shape[0], 2}, s.device);
              DISPATCH(dropout, s)
              (s, {p, random_key(3, "test")}, x, token, add ? ConstView(residual) : ConstView(), x);
              return std::vector{x.all};
            },
            p > 0.9 ? 1e-6 : Share().of(dtype), what("dropout", shape, dtype, before));
  });
}

TEST(GpuKernels, GatherAndScatterRows) {
  for_each_case([](const Shape& shape, DType dtype, int64_t before, int64_t after) {
    for (const DType table_type : kTypes)
      for (const bool accumulate : {false, true})
        expect_sides_agree(
            [&](Stream& s) {
              const int32_t N = int32_t(shape[0]);
              std::vector<int32_t> from, to;
              for (int32_t n = 0; n < N; ++n)
                from.push_back(n % 4 == 3 ? -1 : (n * 5) % 7), to.push_back(n % 3 == 1 ? -1 : N - 1 - n);
              const Strided table = strided(random_array({7, shape[1]}, 1), table_type, s.device, before, after);
              const Strided y = strided(random_array(shape, 2), dtype, s.device, before, after);
              const Strided moved = strided(random_array(shape, 3), dtype, s.device, before, after);
              DISPATCH(gather_rows, s)(s, table, integers(from, s.device), 0.5f, accumulate, y);
              DISPATCH(scatter_rows, s)(s, y, integers(to, s.device), moved);
              return std::vector{y.all, moved.all};
            },
            Share().of(dtype), what("gather", shape, dtype, before));
  });
}

TEST(GpuKernels, ScatterMovesIntegers) {
  expect_sides_equal(
      [](Stream& s) {
        const Tensor x = integers({1, 2, 3, 4, 5, 6}, {3, 2}, s.device),
                     y = integers({9, 9, 9, 9, 9, 9, 9, 9}, {4, 2}, s.device);
        DISPATCH(scatter_rows, s)(s, x, integers({3, -1, 0}, s.device), y);
        return std::vector{y};
      },
      "scatter_rows");
}

TEST(GpuKernels, SumRowGroups) {
  for_each_case([](const Shape& shape, DType dtype, int64_t before, int64_t after) {
    expect_sides_agree(
        [&](Stream& s) {
          const int32_t N = int32_t(shape[0]);
          std::vector<int32_t> row, begin{0}, target;
          for (int32_t g = 0; g < std::min(N, 5); ++g) {  // group g: the rows n = g (mod 5)
            for (int32_t n = g; n < N; n += 5) row.push_back(n);
            begin.push_back(int32_t(row.size()));
            target.push_back((g * 3) % 5);
          }
          const Strided dy = strided(random_array(shape, 1), dtype, s.device, before, after);
          const Strided table = strided(random_array({5, shape[1]}, 2), DType::f32, s.device, before, after);
          const Tensor rows = integers(row, s.device), begins = integers(begin, s.device),
                       targets = integers(target, s.device);
          DISPATCH(sum_row_groups, s)
          (s, dy, {rows, begins, targets, int64_t(target.size())}, 0.25f, table);
          return std::vector{table.all};
        },
        2e-6, what("sum_row_groups", shape, dtype, before));
  });
}

TEST(GpuKernels, Rotary) {
  struct Case {
    int64_t N;
    int heads, head_size, rotated, extra;
  };
  for (const Case c :
       {Case{5, 2, 16, 16, 0}, Case{5, 3, 6, 4, 1}, Case{9, 2, 32, 16, 32}, Case{1, 1, 2, 2, 0}, Case{0, 2, 4, 4, 0}})
    for (const DType dtype : kTypes)
      for (const bool in_place : {false, true})
        for (const auto& [before, after] : kMargins)
          expect_sides_agree(
              [&](Stream& s) {
                std::vector<int32_t> position;
                for (int32_t n = 0; n < c.N; ++n) position.push_back(n == 2 ? -1 : (n * 7) % 11);
                const Shape shape{c.N, c.heads * c.head_size + c.extra};
                const Strided x = strided(random_array(shape, 1), dtype, s.device, before, after);
                const Strided y = in_place ? x : strided(random_array(shape, 2), dtype, s.device, before, after);
                const Tensor table = to_tensor(random_array({11, c.rotated}, 3), DType::f32, s.device);
                const RotaryConfig config{.heads = c.heads, .head_size = c.head_size, .inverse = in_place};
                DISPATCH(rotary, s)(s, config, x, integers(position, s.device), table, y);
                return std::vector{y.all};
              },
              Share().of(dtype), text("rotary, head size ", c.head_size, " ", name_of(dtype)));
}

// As many rows as make a warp project several of them; one row more than fills its share.
TEST(GpuKernels, LowRankOfManyRows) {
  for (const DType dtype : kTypes)
    expect_sides_agree(
        [&](Stream& s) {
          constexpr int64_t N = 2049, in = 16, out = 24, rank = 8;
          const auto tensor = [&](const Shape& shape, DType type, uint64_t seed) {
            return to_tensor(random_array(shape, seed), type, s.device);
          };
          const auto wide = [&](const Shape& shape) { return Tensor::empty(shape, DType::f32, s.device); };
          const Tensor x = tensor({N, in}, dtype, 1), y = tensor({N, out}, dtype, 2), dz = tensor({N, out}, dtype, 3);
          const Tensor a = tensor({rank, in}, DType::f32, 4), b = tensor({16, rank}, DType::f32, 5);
          const Tensor u = wide({N, rank}), z = Tensor::like(y), da = wide({rank, in}), db = wide({16, rank});
          const Tensor dx = Tensor::like(x);
          const LowRankPart part{
              .a = a, .b = b, .u = u, .scale = 0.5f, .rank = rank, .row_end = N, .column_begin = 8, .column_end = 24};
          DISPATCH(low_rank_forward, s)(s, x, {&part, 1}, y, z);
          const LowRankGradient gradient{da, db};
          DISPATCH(low_rank_backward, s)(s, x, {&part, 1}, dz, {&gradient, 1}, dx);
          return std::vector{u, z, dx, da, db};
        },
        dtype == DType::bf16 ? 2e-2 : 2e-5, text("low rank in ", name_of(dtype)));
}

}  // namespace
}  // namespace cambium::testing
