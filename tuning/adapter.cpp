#include "tuning/adapter.h"

#include "autograd/ops/elementwise.h"
#include "autograd/ops/linear.h"
#include "tuning/options.h"
#include "tuning/sites.h"

namespace cambium {

Adapter::Adapter(const Options& options, const TunerContext& context) : options_(options) {
  const int64_t width = context.model.config().width, b = options_.bottleneck;
  for_each_sublayer(context.model, [&](const Site& site) {
    if (options_.kind != "houlsby" && site.place != Place::feed_forward) return;
    Module& m = modules_[site];
    m.down = tuner_parameter(context.model, {b, width});
    m.down_bias = tuner_parameter(context.model, {b});
    m.up = tuner_parameter(context.model, {width, b});
    m.up_bias = tuner_parameter(context.model, {width});
    if (context.initialize) fill_normal(m.down, context.seed, path_of(site) + ".adapter.down.weight", 0.01);
  });
}

OptionMap Adapter::options() const {
  return {{"bottleneck", std::to_string(options_.bottleneck)}, {"kind", options_.kind}};
}

std::vector<NamedParameter> Adapter::parameters() {
  std::vector<NamedParameter> all;
  for (auto& [site, m] : modules_) {
    const std::string path = path_of(site) + ".adapter.";
    all.push_back({path + "down.bias", &m.down_bias, 0, options_.bottleneck});
    all.push_back({path + "down.weight", &m.down, 0, options_.bottleneck});
    all.push_back({path + "up.bias", &m.up_bias, 0, m.up_bias.value.size()});
    all.push_back({path + "up.weight", &m.up, 0, m.up.value.rows()});
  }
  return all;
}

// A ReLU may keep some of the bottleneck dark for all the tokens of the first steps.
double Adapter::live_share(std::string_view name) const {
  return options_.kind == "houlsby" || name.ends_with("up.bias") ? 1 : 0.5;
}

Var Adapter::after(Pass& pass, const Site& site, const Var& x, Var h, const Layout&) {
  const auto found = modules_.find(site);
  if (found == modules_.end()) return h;
  const Module& m = found->second;
  const Activation kind = options_.kind == "houlsby" ? Activation::gelu : Activation::relu;
  const Var& read = options_.kind == "parallel" ? x : h;
  const Var a = apply(Activate{kind}, apply(Linear{}, read, pass(m.down), pass(m.down_bias)), Var());
  return apply(Add{float(effective_scale())}, h, apply(Linear{}, a, pass(m.up), pass(m.up_bias)));
}

}  // namespace cambium
