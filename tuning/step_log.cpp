#include "tuning/step_log.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/kernels/optimizer.h"

namespace cambium {
namespace {

constexpr int64_t kNumbers = 3;  // of a report

}  // namespace

bool StepFacts::finite() const { return std::isfinite(loss) && gradient.not_finite < 0; }

StepLog::StepLog(Device device, int64_t capacity)
    : gate_(Tensor::of(std::vector<double>{1, 1}, device)),
      reports_(Tensor::empty({capacity, kNumbers}, DType::f64, device)) {}

void StepLog::add(const Tensor& losses, const std::vector<Tensor>& gradients, double clip) {
  CHECK(count_ < reports_.rows(), "a log of ", reports_.rows(), " steps is full");
  std::vector<ConstView> views;
  for (const Tensor& g : gradients) views.push_back(g ? g.reshape({g.size()}).view() : View());
  Stream& stream = gate_.stream();
  const Tensor sums = Tensor::empty({int64_t(views.size())}, DType::f64, gate_.device());
  DISPATCH(square_sums, stream)(stream, views, sums);
  DISPATCH(judge_step, stream)(stream, clip, sums, losses, gate_, reports_.rows(count_, count_ + 1));
  ++count_;
}

std::vector<StepFacts> StepLog::take() {
  std::vector<StepFacts> all;
  const Tensor host = reports_.rows(0, std::exchange(count_, 0)).to(Device::cpu());
  for (const double *r = host.data<double>(), *end = r + host.size(); r < end; r += kNumbers)
    all.push_back({.loss = r[0], .gradient = {.norm = r[1], .not_finite = int64_t(r[2])}});
  return all;
}

GradientNorm gradient_norm(const std::vector<Tensor>& gradients) {
  const auto any = std::find_if(gradients.begin(), gradients.end(), [](const Tensor& g) { return bool(g); });
  if (any == gradients.end()) return {};
  StepLog log(any->device(), 1);
  log.add({}, gradients, 0);
  return log.take().front().gradient;
}

}  // namespace cambium
