#include "tuning/dora.h"

#include <cmath>

#include "autograd/ops/factors.h"

namespace cambium {
namespace {

// [R]: the squared lengths of the rows of a matrix [R, C].
Tensor squared_lengths(const Tensor& matrix) {
  Tensor square = wide_like(matrix, {matrix.rows()});
  DISPATCH(row_dots, matrix.stream())(matrix.stream(), matrix, matrix, square);
  return square;
}

}  // namespace

TunerMaker Dora::read(OptionReader& o) {
  const Options options = read_options(o);
  o.finish();
  return [options](const TunerContext& context) { return std::make_unique<Dora>(options, context); };
}

Dora::Dora(const Options& options, const TunerContext& context) : Lora(options, context, "dora") {
  for (const auto& [_, list] : adapted_)
    for (const Adapted& m : list) {
      Parameter& magnitude = magnitude_[m.name] = tuner_parameter(context.model, {m.target.out()});
      if (!context.initialize) continue;
      const Tensor w = m.target.dense->weight.value.rows(m.target.begin, m.target.end);
      Tensor host = squared_lengths(w.to(accumulator(w.dtype()))).to(Device::cpu());
      visit(host.dtype(), [&]<class T>(Type<T>) {
        if constexpr (!std::is_same_v<T, bfloat16>)
          for (int64_t i = 0; i < host.size(); ++i) host.data<T>()[i] = std::sqrt(host.data<T>()[i]);
      });
      magnitude.value.copy_from(host.to(magnitude.value.device()));
    }
}

std::vector<NamedParameter> Dora::parameters() {
  std::vector<NamedParameter> all = Lora::parameters();
  for (auto& [name, p] : magnitude_) all.push_back({name + ".magnitude", &p, 0, p.value.size()});
  return all;
}

Var Dora::projected(Pass& pass, const Projection& projection, const Var& x, Var y, const Layout& layout) {
  const std::vector<Adapted>* list = adapted_.find(projection);
  if (!list) return y;
  y = Lora::projected(pass, projection, x, std::move(y), layout);
  for (const Adapted& m : *list) {
    const auto [begin, end] = std::pair{m.target.begin, m.target.end};
    Var& factor = pass.memo[{this, m.name}];  // all steps of a generation read the same
    if (!factor || pass.training()) {
      const Tensor sum =
          summed_weight(pass(projection.dense.weight).value.rows(begin, end), m.a.value, m.b.value, m.scale);
      factor = apply(OverRoot{squared_lengths(sum)}, pass(magnitude_.at(m.name)));
    }
    const Var bias = projection.dense.bias ? apply(Slice{begin, end}, pass(projection.dense.bias)) : Var();
    y = apply(ScaleColumns{begin, end}, y, factor, bias);
  }
  return y;
}

bool Dora::merge_into(Model&) {
  for (const auto& [_, list] : adapted_)
    for (const Adapted& m : list) {
      const Tensor rows = m.target.dense->weight.value.rows(m.target.begin, m.target.end);
      Tensor sum = summed_weight(rows, m.a.value, m.b.value, m.scale);
      const Tensor factor = apply(OverRoot{squared_lengths(sum)}, Var(magnitude_.at(m.name).value)).value;
      DISPATCH(scale_rows, sum.stream())(sum.stream(), sum, factor, sum);
      rows.copy_from(sum.to(rows.dtype()));
    }
  return true;
}

}  // namespace cambium
