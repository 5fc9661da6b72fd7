#include "tuning/ia3.h"

#include <algorithm>

#include "autograd/ops/factors.h"
#include "core/kernels/elementwise.h"

namespace cambium {

TunerMaker Ia3::read(OptionReader& o) {
  Options options;
  options.targets = split(o.word("targets", listed(options.targets, ",")));
  options.inputs = split(o.word("inputs", listed(options.inputs, ",")));
  o.finish();
  return [options](const TunerContext& context) { return std::make_unique<Ia3>(options, context); };
}

Ia3::Ia3(const Options& options, const TunerContext& context) : options_(options) {
  const std::vector<Target> targets = find_targets(context.model, "ia3", options_.targets);
  for (const std::string& input : options_.inputs)
    check_input(input == "down" || std::any_of(targets.begin(), targets.end(),
                                               [&](const Target& t) { return selects(input, t.name()); }),
                "ia3: inputs=", input, " is none of the targets");
  for (const Target& t : targets) {
    Scaled s{t, {}};
    check_input(!of_input(s) || t.out() == t.dense->weight.value.rows(), "ia3: inputs: ", t.name(),
                " reads the same as its neighbours, with which it is one product: its input alone cannot be scaled");
    s.factor = tuner_parameter(context.model, {of_input(s) ? t.in() : t.out()});
    if (context.initialize) fill_uniform(s.factor, 0, "", 0, 1);  // all 1
    scaled_.at(t).push_back(std::move(s));
  }
}

OptionMap Ia3::options() const {
  return {{"targets", listed(options_.targets, ",")}, {"inputs", listed(options_.inputs, ",")}};
}

std::vector<NamedParameter> Ia3::parameters() {
  std::vector<NamedParameter> all;
  for (auto& [_, list] : scaled_)
    for (Scaled& s : list) all.push_back({s.target.name() + ".ia3", &s.factor, 0, s.factor.value.size()});
  return all;
}

// A ReLU may keep some of a layer dark.
double Ia3::live_share(std::string_view name) const {
  name.remove_suffix(std::string_view(".ia3").size());
  return selects(options_.inputs, name) ? 0.05 : 1;
}

bool Ia3::reaches_inside(const Site& site) const { return scaled_.has(site); }

Var Ia3::scaled(Pass& pass, const Projection& projection, Var x, bool inputs) const {
  const std::vector<Scaled>* list = scaled_.find(projection);
  if (!list) return x;
  for (const Scaled& s : *list)
    if (of_input(s) == inputs)
      x = apply(inputs ? ScaleColumns{} : ScaleColumns{s.target.begin, s.target.end}, x, pass(s.factor), Var());
  return x;
}

Var Ia3::input(Pass& pass, const Projection& projection, Var x, const Layout&) {
  return scaled(pass, projection, std::move(x), true);
}

Var Ia3::projected(Pass& pass, const Projection& projection, const Var&, Var y, const Layout&) {
  return scaled(pass, projection, std::move(y), false);
}

// By the factors, or by one over them.
void Ia3::scale_base(bool undo) {
  for (const auto& [_, list] : scaled_)
    for (const Scaled& s : list) {
      const Target& t = s.target;
      Tensor l = s.factor.value;
      if (undo) {
        Tensor inverse = l.to(Device::cpu()).to(DType::f64).clone();
        for (double& x : inverse.span<double>()) x = 1 / x;
        l = inverse.to(l.dtype()).to(l.device());
      }
      const Tensor rows = t.dense->weight.value.rows(t.begin, t.end);
      Tensor w = rows.to(accumulator(rows.dtype())).clone();
      if (of_input(s)) DISPATCH(scale_columns, w.stream())(w.stream(), w, l, {}, w);
      else DISPATCH(scale_rows, w.stream())(w.stream(), w, l, w);
      rows.copy_from(w.to(rows.dtype()));
      if (of_input(s) || !t.dense->bias) continue;
      const Tensor bias = t.dense->bias.value.rows(t.begin, t.end);
      DISPATCH(scale_columns, bias.stream())(bias.stream(), bias, l, {}, bias);
    }
}

bool Ia3::merge_into(Model&) {
  scale_base(false);
  return true;
}

// What was multiplied by zero is lost.
bool Ia3::unmerge_from(Model&) {
  for (const auto& [_, list] : scaled_)
    for (const Scaled& s : list) {
      const Tensor l = s.factor.value.to(Device::cpu()).to(DType::f64);
      if (std::any_of(l.span<double>().begin(), l.span<double>().end(), [](double x) { return x == 0; })) return false;
    }
  scale_base(true);
  return true;
}

}  // namespace cambium
