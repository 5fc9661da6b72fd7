// Optimizer updates on the CPU. Tensors are cut into pieces of fixed size, which run in parallel.
#include "core/kernels/optimizer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpu/parallel.h"
#include "core/memory.h"

namespace cambium::cpu {
namespace {

constexpr int64_t kPiece = 16384;

struct Piece {
  size_t tensor;
  int64_t begin, end;
};

template <class Size>
std::vector<Piece> cut(size_t tensors, const Size& size) {
  std::vector<Piece> pieces;
  for (size_t t = 0; t < tensors; ++t)
    for (int64_t begin = 0; begin < size(t); begin += kPiece)
      pieces.push_back({t, begin, std::min(size(t), begin + kPiece)});
  return pieces;
}

// Calls update(tensor, begin, end, Type<F>) for every piece.
template <class Update>
void for_each_piece(std::span<const OptimizerTensor> tensors, const Update& update) {
  const auto pieces = cut(tensors.size(), [&](size_t t) { return tensors[t].value.size(); });
  parallel_rows(int64_t(pieces.size()), [&](int64_t i) {
    const auto& [t, begin, end] = pieces[size_t(i)];
    visit_wide(tensors[t].value.dtype(), [&](auto type) { update(tensors[t], begin, end, type); });
  });
}

template <class F>
void refresh_working(const OptimizerTensor& t, int64_t begin, int64_t end) {
  if (!t.working) return;
  const F* p = t.value.data<F>();
  bfloat16* w = t.working.data<bfloat16>();
  for (int64_t i = begin; i < end; ++i) w[i] = bfloat16(p[i]);
}

bool is_shut(const ConstView& gate) { return gate && gate.data<double>()[1] == 0; }
double factor_of(const ConstView& gate) { return gate ? gate.data<double>()[0] : 1; }

}  // namespace

void adamw(Stream&, const AdamWStep& step, std::span<const OptimizerTensor> tensors) {
  if (is_shut(step.gate)) return;
  for_each_piece(tensors, [&]<class F>(const OptimizerTensor& t, int64_t begin, int64_t end, Type<F>) {
    const F b1 = F(step.beta1), b2 = F(step.beta2), epsilon = F(step.epsilon);
    const F keep1 = F(1 - step.beta1), keep2 = F(1 - step.beta2), scale = F(factor_of(step.gate));
    const F shrink = F(1 - step.lr * step.decay), rate = F(step.lr / step.correction1);
    const F root2 = F(1 / std::sqrt(step.correction2));
    F *p = t.value.data<F>(), *m = t.first.data<F>(), *v = t.second.data<F>();
    const F* gradient = t.gradient.data<F>();
    for (int64_t i = begin; i < end; ++i) {
      const F g = scale * gradient[i];
      m[i] = b1 * m[i] + keep1 * g;
      v[i] = b2 * v[i] + keep2 * g * g;
      p[i] = shrink * p[i] - rate * m[i] / (std::sqrt(v[i]) * root2 + epsilon);
    }
    refresh_working<F>(t, begin, end);
  });
}

void sgd(Stream&, const SgdStep& step, std::span<const OptimizerTensor> tensors) {
  if (is_shut(step.gate)) return;
  for_each_piece(tensors, [&]<class F>(const OptimizerTensor& t, int64_t begin, int64_t end, Type<F>) {
    const F lr = F(step.lr), momentum = F(step.momentum), decay = F(step.decay), scale = F(factor_of(step.gate));
    F *p = t.value.data<F>(), *m = t.first.data<F>();
    const F* gradient = t.gradient.data<F>();
    for (int64_t i = begin; i < end; ++i) {
      F g = scale * gradient[i] + decay * p[i];
      if (m) g = m[i] = momentum * m[i] + g;
      p[i] -= lr * g;
    }
    refresh_working<F>(t, begin, end);
  });
}

void adafactor(Stream&, const AdafactorStep& step, std::span<const AdafactorTensor> tensors) {
  if (is_shut(step.gate)) return;
  parallel_tasks(int64_t(tensors.size()), [&](int64_t index) {
    const OptimizerTensor& t = tensors[size_t(index)].tensor;
    visit_wide(t.value.dtype(), [&]<class F>(Type<F>) {
      const int64_t R = t.value.rows(), C = t.value.cols(), size = R * C;
      const bool factored = t.second.size() != size;
      const F b2 = F(step.beta2), keep2 = F(1 - step.beta2), epsilon1 = F(step.epsilon1),
              scale = F(factor_of(step.gate));
      F *p = t.value.data<F>(), *row = t.first.data<F>(), *column = t.second.data<F>();
      const F* gradient = t.gradient.data<F>();
      const auto square = [&](int64_t i) { return scale * gradient[i] * scale * gradient[i] + epsilon1; };
      F mean_row = 0;
      if (factored) {
        for (int64_t r = 0; r < R; ++r)
          row[r] = b2 * row[r] + keep2 * (lane_sum(C, [&](int64_t c) { return square(r * C + c); }) / C);
        for (int64_t c = 0; c < C; ++c) {
          F sum = 0;
          for (int64_t r = 0; r < R; ++r) sum += square(r * C + c);
          column[c] = b2 * column[c] + keep2 * sum / R;
        }
        mean_row = lane_sum(R, [&](int64_t r) { return row[r]; }) / R;
      } else {
        for (int64_t i = 0; i < size; ++i) column[i] = b2 * column[i] + keep2 * square(i);
      }
      const auto update = [&](int64_t i) {
        // (row / mean) is near 1; row * column could be too small for a float.
        const F v = factored ? row[i / C] / mean_row * column[i % C] : column[i];
        return scale * gradient[i] / std::sqrt(v);
      };
      const F rms = std::sqrt(lane_sum(size, [&](int64_t i) { return update(i) * update(i); }) / size);
      F rate = F(step.lr) / std::max(F(1), rms / F(step.clip));
      if (step.scale_by_parameter)
        rate *= std::max(F(step.epsilon2), std::sqrt(lane_sum(size, [&](int64_t i) { return p[i] * p[i]; }) / size));
      const F shrink = F(1 - step.decay * (step.decay_times_lr ? step.lr : 1));
      for (int64_t i = 0; i < size; ++i) p[i] = shrink * p[i] - rate * update(i);
      refresh_working<F>(t, 0, size);
    });
  });
}

void square_sums(Stream&, std::span<const ConstView> tensors, View out) {
  const auto pieces = cut(tensors.size(), [&](size_t t) { return tensors[t].size(); });
  std::vector<double> partial(pieces.size());
  parallel_rows(int64_t(pieces.size()), [&](int64_t i) {
    const auto& [t, begin, end] = pieces[size_t(i)];
    visit_wide(tensors[t].dtype(), [&]<class F>(Type<F>) {
      const F* x = tensors[t].data<F>() + begin;
      partial[size_t(i)] = lane_sum(end - begin, [&](int64_t k) { return double(x[k]) * double(x[k]); });
    });
  });
  double* sum = out.data<double>();
  std::fill_n(sum, tensors.size(), 0.0);
  for (size_t i = 0; i < pieces.size(); ++i) sum[pieces[i].tensor] += partial[i];
}

void judge_step(Stream&, double clip, ConstView sums, ConstView losses, View gate, View report) {
  double loss = 0, total = 0, first = -1;
  for (int64_t p = 0; p < losses.size(); ++p)
    loss += losses.dtype() == DType::f64 ? losses.data<double>()[p] : double(losses.data<float>()[p]);
  for (int64_t i = 0; i < sums.size(); ++i) {
    const double sum = sums.data<double>()[i];
    if (!std::isfinite(sum) && first < 0) first = double(i);
    total += sum;
  }
  const double norm = std::sqrt(total);
  double *g = gate.data<double>(), *r = report.data<double>();
  g[0] = clip > 0 ? std::min(1.0, clip / (norm + 1e-6)) : 1;
  if (!std::isfinite(loss) || first >= 0) g[1] = 0;
  r[0] = loss, r[1] = norm, r[2] = first;
}

}  // namespace cambium::cpu
