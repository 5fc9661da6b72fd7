// One row a op, five checks:
//   1. values against an independent definition in plain loops and double, in float64, float32 and bfloat16;
//   2. gradients against central differences in double;
//   3. every mask of wanted gradients: the same bits, nothing saved that its gradients do not read, and all
//      memory given back;
//   4. the GPU side against the CPU side, values and gradients (where there is no device the test counts as skipped,
//   once
//      all that the CPU can show has passed);
//   5. equal bits on a second run, with other numbers of threads, and with the GPU's threads shuffled.
#pragma once

#include <gtest/gtest.h>

#include "autograd/tape.h"
#include "core/threads.h"
#include "cuda/testing.h"
#include "tests/support/array.h"

namespace cambium::testing {

// Allowed error, as a share of the largest value of each output (or gradient).
struct Tolerance {
  double f64 = 1e-12, f32 = 2e-6, bf16 = 1e-2;
  double gradient = 1e-7;  // analytic against central differences, in double
};

template <class Op, class Definition>
struct OpCase {
  const char* name;
  Op op;
  Definition definition;                   // Array or std::vector<Array> of one const Array& an input
  std::vector<std::vector<Shape>> shapes;  // of the inputs; [] means absent
  Tolerance tolerance = {};
  std::vector<int> wide_inputs = {};  // kept in the accumulator type when the others are bfloat16
  bool differentiable = true;
  // Masks that want nothing but these inputs may save more than they read: nobody tunes them alone.
  std::vector<int> saves_freely = {};
};

// x W^T + b, bias [out] or empty: the definition of a linear layer.
inline Array linear(const Array& x, const Array& weight, const Array& bias) {
  Array y({x.rows(), weight.rows()});
  for (int64_t n = 0; n < y.rows(); ++n)
    for (int64_t o = 0; o < y.cols(); ++o) {
      y(n, o) = bias.size() ? bias(o) : 0;
      for (int64_t i = 0; i < x.cols(); ++i) y(n, o) += x(n, i) * weight(o, i);
    }
  return y;
}

namespace detail {

template <size_t N, class R, class Op, class Saved, class... In>
std::integral_constant<size_t, N> input_count(R (Op::*)(Saved&, std::array<bool, N>, In...) const);

template <class Op>
constexpr size_t kInputs = decltype(input_count(&Op::forward))::value;

inline std::vector<Array> as_vector(Array a) { return {std::move(a)}; }
inline std::vector<Array> as_vector(std::vector<Array> a) { return a; }

struct Result {
  std::vector<Tensor> outputs, gradients;
};

// Allowed error: `share` of the largest value of the reference, or of 1 where it is tiny.
inline void expect_near(const Array& value, const Array& reference, double share, const std::string& what) {
  ASSERT_EQ(value.size(), reference.size()) << what;
  const double allowed = share * std::max(reference.largest(), 1e-3);
  double worst = 0;
  int64_t at = 0;
  for (int64_t i = 0; i < value.size(); ++i) {
    const double error = std::abs(value(i) - reference(i));
    if (!(error <= worst)) worst = error, at = i;
  }
  EXPECT_LE(worst, allowed) << what << ": element " << at << " is " << (value.size() ? value(at) : 0) << " instead of "
                            << (value.size() ? reference(at) : 0);
  EXPECT_TRUE(worst == worst) << what << ": not a number at element " << at;
}

template <class Case>
class Runner {
 public:
  static constexpr size_t N = kInputs<decltype(Case::op)>;

  Runner(const Case& c, const std::vector<Shape>& shapes) : case_(c) {
    for (size_t i = 0; i < N; ++i) inputs_.push_back(random_array(shapes[i], 17 + i));
  }

  std::vector<Tensor> tensors(DType dtype, Device device) const {
    std::vector<Tensor> out;
    for (size_t i = 0; i < N; ++i) {
      const bool wide = std::count(case_.wide_inputs.begin(), case_.wide_inputs.end(), int(i));
      out.push_back(to_tensor(inputs_[i], wide ? accumulator(dtype) : dtype, device));
    }
    return out;
  }

  // Runs forward and, for the inputs in `mask`, backward from fixed random output gradients.
  Result run(const std::vector<Tensor>& in, unsigned mask, std::function<void(Tape&)> before_backward = {}) const {
    Tape tape;
    std::vector<Var> vars;
    for (size_t i = 0; i < N; ++i) vars.push_back((mask >> i & 1) && in[i] ? tape.leaf(in[i]) : Var(in[i]));
    const std::vector<Var> outputs = apply_to(vars);
    Result result;
    for (const Var& v : outputs) result.outputs.push_back(v.value.clone());
    if (tape.size() == 0) return result;
    if (before_backward) before_backward(tape);
    for (size_t i = 0; i + 1 < outputs.size(); ++i) tape.add(outputs[i].slot, output_gradient(outputs[i].value, i));
    tape.backward(outputs.back(), output_gradient(outputs.back().value, outputs.size() - 1));
    for (const Var& v : vars) result.gradients.push_back(v.wants_gradient() ? tape.gradient(v) : Tensor());
    return result;
  }

  void check_values() const {
    for (const DType dtype : {DType::f64, DType::f32, DType::bf16}) {
      const auto in = tensors(dtype, Device::cpu());
      const double share = dtype == DType::f64   ? case_.tolerance.f64
                           : dtype == DType::f32 ? case_.tolerance.f32
                                                 : case_.tolerance.bf16;
      std::vector<Array> rounded;
      for (const Tensor& t : in) rounded.push_back(to_array(t));
      const auto reference = defined(rounded, std::make_index_sequence<N>());
      const auto result = run(in, 0);
      ASSERT_EQ(result.outputs.size(), reference.size());
      for (size_t i = 0; i < reference.size(); ++i)
        expect_near(to_array(result.outputs[i]), reference[i], share, what("value", dtype, i));
    }
  }

  void check_gradients() const {
    const auto in = tensors(DType::f64, Device::cpu());
    const Result result = run(in, all());
    for (size_t i = 0; i < N; ++i) {
      if (!in[i]) continue;
      const Array analytic = result.gradients[i] ? to_array(result.gradients[i]) : Array(in[i].shape());
      ASSERT_EQ(analytic.size(), in[i].size()) << what("gradient", DType::f64, i);
      const int64_t step = std::max<int64_t>(1, in[i].size() / 41);
      Array seen, expected;
      for (int64_t e = 0; e < in[i].size(); e += step) {
        seen.values.push_back(analytic(e));
        expected.values.push_back(central_difference(in, i, e));
      }
      expect_near(seen, expected, case_.tolerance.gradient, what("gradient", DType::f64, i));
    }
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const double share = dtype == DType::f32 ? 10 * case_.tolerance.f32 : 4 * case_.tolerance.bf16;
      const Result low = run(tensors(dtype, Device::cpu()), all());
      for (size_t i = 0; i < N; ++i)
        if (result.gradients[i])
          expect_near(to_array(low.gradients[i]), to_array(result.gradients[i]), share, what("gradient", dtype, i));
    }
  }

  void check_masks() const {
    const auto in = tensors(DType::f32, Device::cpu());
    const Result full = run(in, all());
    for (unsigned mask = 0; mask <= all(); ++mask) {
      const int64_t live = Allocator::of(Device::cpu()).counters().live;
      {
        const Result part = run(in, mask);
        for (size_t i = 0; i < full.outputs.size(); ++i)
          EXPECT_TRUE(same_bits(part.outputs[i], full.outputs[i])) << case_.name << " mask " << mask;
        for (size_t i = 0; i < part.gradients.size(); ++i) {
          EXPECT_TRUE(!(mask >> i & 1) || same_bits(part.gradients[i], full.gradients[i]))
              << case_.name << " mask " << mask << " input " << i;
        }
        check_saved(in, mask, part);
      }
      EXPECT_EQ(Allocator::of(Device::cpu()).counters().live, live) << case_.name << ": memory kept, mask " << mask;
    }
  }

  void check_gpu() const {
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const double share = dtype == DType::f32 ? case_.tolerance.f32 : case_.tolerance.bf16;
      const Result cpu = run(tensors(dtype, Device::cpu()), all());
      gpu::shuffle_threads(0);
      const Result gpu = run(tensors(dtype, Device::gpu()), all());
      for (size_t i = 0; i < cpu.outputs.size(); ++i)
        expect_near(to_array(gpu.outputs[i]), to_array(cpu.outputs[i]), 2 * share, what("GPU value", dtype, i));
      for (size_t i = 0; i < cpu.gradients.size(); ++i) {
        ASSERT_EQ(bool(gpu.gradients[i]), bool(cpu.gradients[i])) << what("GPU gradient", dtype, i);
        if (cpu.gradients[i])
          expect_near(to_array(gpu.gradients[i]), to_array(cpu.gradients[i]), 10 * share,
                      what("GPU gradient", dtype, i));
      }
      for (const unsigned seed : {1u, 7u}) {
        gpu::shuffle_threads(seed);
        expect_same(run(tensors(dtype, Device::gpu()), all()), gpu, "GPU threads shuffled");
      }
      gpu::shuffle_threads(0);
    }
  }

  void check_repeats() const {
    const int before = threads();
    for (const DType dtype : {DType::f32, DType::bf16}) {
      const Result first = run(tensors(dtype, Device::cpu()), all());
      for (const int count : {1, 2, 3}) {
        set_threads(count);
        expect_same(run(tensors(dtype, Device::cpu()), all()), first, "other number of threads");
      }
      set_threads(before);
    }
  }

 private:
  unsigned all() const { return case_.differentiable ? (1u << N) - 1 : 0; }

  std::string what(const char* kind, DType dtype, size_t i) const {
    std::string shapes;
    for (const Array& a : inputs_) shapes += text(a.shape, " ");
    return text(case_.name, ": ", kind, " ", i, " in ", name_of(dtype), ", inputs ", shapes);
  }

  template <size_t... I>
  std::vector<Array> defined(const std::vector<Array>& in, std::index_sequence<I...>) const {
    return as_vector(case_.definition(in[I]...));
  }

  std::vector<Var> apply_to(const std::vector<Var>& vars) const {
    return apply_to(vars, std::make_index_sequence<N>());
  }
  template <size_t... I>
  std::vector<Var> apply_to(const std::vector<Var>& vars, std::index_sequence<I...>) const {
    auto y = apply(case_.op, vars[I]...);
    if constexpr (std::is_same_v<decltype(y), Var>) return {y};
    else return {y.begin(), y.end()};
  }

  static Tensor output_gradient(const Tensor& y, size_t i) {
    return to_tensor(random_array(y.shape(), 1000 + i), y.dtype(), y.device());
  }

  // sum over outputs of output . output gradient, around element e of input i.
  double central_difference(const std::vector<Tensor>& in, size_t i, int64_t e) const {
    std::vector<Tensor> moved = in;
    moved[i] = in[i].clone();
    double& x = moved[i].template data<double>()[e];
    const double original = x, h = 1e-5;
    const auto value = [&] {
      double sum = 0;
      const Result r = run(moved, 0);
      for (size_t o = 0; o < r.outputs.size(); ++o) {
        const Array y = to_array(r.outputs[o]), dy = random_array(y.shape, 1000 + o);
        for (int64_t k = 0; k < y.size(); ++k) sum += y(k) * dy(k);
      }
      return sum;
    };
    x = original + h;
    const double above = value();
    x = original - h;
    return (above - value()) / (2 * h);
  }

  // Each saved tensor must matter: with it overwritten by NaN, some gradient changes.
  void check_saved(const std::vector<Tensor>& in, unsigned mask, const Result& reference) const {
    unsigned strict = mask;
    for (size_t i = 0; i < N; ++i)
      if (!in[i] || std::count(case_.saves_freely.begin(), case_.saves_freely.end(), int(i))) strict &= ~(1u << i);
    if (!strict) return;
    size_t count = 0;
    run(in, mask, [&](Tape& tape) { count = tape.saved_tensors().size(); });
    for (size_t k = 0; k < count; ++k) {
      std::vector<Tensor> copies;
      for (const Tensor& t : in) copies.push_back(t.clone());
      const Result spoiled = run(copies, mask, [&](Tape& tape) {
        const Tensor t = tape.saved_tensors()[k];
        if (t.bytes()) std::memset(t.raw(), 0xff, size_t(t.bytes()));
      });
      bool changed = in[0] && in[0].size() == 0;
      for (size_t i = 0; i < spoiled.gradients.size(); ++i)
        changed |= !same_bits(spoiled.gradients[i], reference.gradients[i]);
      EXPECT_TRUE(changed) << case_.name << " mask " << mask << ": saved tensor " << k << " is never read";
    }
  }

  void expect_same(const Result& a, const Result& b, const char* why) const {
    for (size_t i = 0; i < a.outputs.size(); ++i)
      EXPECT_TRUE(same_bits(a.outputs[i], b.outputs[i])) << case_.name << " output " << i << ": " << why;
    for (size_t i = 0; i < a.gradients.size(); ++i)
      EXPECT_TRUE(same_bits(a.gradients[i], b.gradients[i])) << case_.name << " gradient " << i << ": " << why;
  }

  const Case& case_;
  std::vector<Array> inputs_;
};

}  // namespace detail

template <class Op, class Definition>
void check_op(const OpCase<Op, Definition>& c) {
  for (const auto& shapes : c.shapes) {
    const detail::Runner<OpCase<Op, Definition>> runner(c, shapes);
    runner.check_values();
    if (c.differentiable) runner.check_gradients();
    if (c.differentiable) runner.check_masks();
    runner.check_repeats();
    if (gpu::device_count() > 0) runner.check_gpu();
  }
  if (gpu::device_count() == 0) GTEST_SKIP() << c.name << ": no GPU, so only the CPU side was checked";
}

}  // namespace cambium::testing
