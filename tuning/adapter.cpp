#include "tuning/adapter.h"

#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/linear.h"
#include "tuning/options.h"
#include "tuning/sites.h"

namespace cambium {

namespace {

Activation activation_named(const std::string& name) {
  for (const Activation a : {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu})
    if (name == name_of(a)) return a;
  return Activation::tanh;
}

}  // namespace

Adapter::Options Adapter::completed(Options o) {
  const bool houlsby = o.kind == "houlsby", parallel = o.kind == "parallel";
  if (o.activation.empty()) o.activation = houlsby ? "gelu" : "relu";
  if (o.reads.empty()) o.reads = houlsby ? "output" : parallel ? "input" : "sum";
  return o;
}

Adapter::Adapter(const Options& options, const TunerContext& context) : options_(completed(options)) {
  const bool houlsby = options_.kind == "houlsby", parallel = options_.kind == "parallel";
  activation_ = activation_named(options_.activation);
  const int64_t width = context.model.config().width, b = options_.bottleneck;
  for_each_sublayer(context.model, [&](const Site& site) {
    if (!houlsby && site.place != Place::feed_forward) return;
    if (!options_.cross && site.place == Place::cross_attention) return;
    Module& m = modules_[site];
    m.down = tuner_parameter(context.model, {b, width});
    m.down_bias = tuner_parameter(context.model, {b});
    m.up = tuner_parameter(context.model, {width, b});
    m.up_bias = tuner_parameter(context.model, {width});
    if (!context.initialize) return;
    const std::string name = path_of(site) + ".adapter.down.weight";
    if (parallel) fill_uniform(m.down, context.seed, name, 1 / std::sqrt(double(width)));
    else fill_normal(m.down, context.seed, name, 0.01);
  });
}

OptionMap Adapter::options() const {
  return {{"bottleneck", std::to_string(options_.bottleneck)},
          {"kind", options_.kind},
          {"activation", options_.activation},
          {"reads", options_.reads},
          {"norms", options_.norms ? "1" : "0"},
          {"cross", options_.cross ? "1" : "0"}};
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
  const bool inner = name.find(".adapter.") != name.npos && !name.ends_with("up.bias");
  return inner && activation_ == Activation::relu ? 0.5 : 1;
}

bool Adapter::trains(std::string_view name) const {
  return options_.norms && (name.find("norm.weight") != name.npos || name.find("norm.bias") != name.npos);
}

Var Adapter::after(Pass& pass, const Site& site, const Sublayer& sublayer, Var h, const Layout&) {
  const auto found = modules_.find(site);
  if (found == modules_.end()) return h;
  const Module& m = found->second;
  const std::string& reads = options_.reads;
  const Var read = reads == "output"  ? h
                   : reads == "sum"   ? sublayer.result(h)
                   : reads == "input" ? sublayer.read
                                      : sublayer.residual;
  const Var a = apply(Activate{activation_}, apply(Linear{}, read, pass(m.down), pass(m.down_bias)), Var());
  return apply(Add{float(effective_scale())}, h, apply(Linear{}, a, pass(m.up), pass(m.up_bias)));
}

}  // namespace cambium
