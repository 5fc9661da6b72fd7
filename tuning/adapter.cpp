#include "tuning/adapter.h"

#include <charconv>
#include <cmath>
#include <set>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/linear.h"
#include "autograd/ops/norm.h"
#include "tuning/sites.h"

namespace cambium {
namespace {

constexpr float kNormEpsilon = 1e-5f;  // of lin's norm

Activation activation_named(const std::string& name) {
  for (const Activation a : {Activation::relu, Activation::gelu, Activation::gelu_tanh, Activation::silu})
    if (name == name_of(a)) return a;
  return Activation::tanh;
}

// The numbers of "0,4-11". Throws InputError where it is no such list.
std::set<int> layers_named(const std::string& list) {
  std::set<int> layers;
  if (list.empty()) return layers;
  for (const std::string& entry : split(list)) {
    int first = 0, last = 0;
    const char *begin = entry.data(), *end = begin + entry.size();
    auto [at, error] = std::from_chars(begin, end, first);
    last = first;
    if (error == std::errc() && at != end && *at == '-') {
      const auto rest = std::from_chars(at + 1, end, last);
      at = rest.ptr, error = rest.ec;
    }
    check_input(error == std::errc() && at == end && first >= 0 && last >= first && last < 1000, "adapter: layers=", list,
                ": \"", entry, "\" is no number or range of layers, like 0,4-11");
    for (int i = first; i <= last; ++i) layers.insert(i);
  }
  return layers;
}

}  // namespace

TunerMaker Adapter::read(OptionReader& o) {
  Options options;
  options.bottleneck = o.integer("bottleneck", options.bottleneck, 1, kLongest);
  options.kind = o.choice("kind", options.kind, {"houlsby", "pfeiffer", "parallel", "lin"});
  options = completed(options);
  options.activation = o.choice("activation", options.activation, {"relu", "gelu", "gelu_tanh", "silu", "tanh"});
  options.reads = o.choice("reads", options.reads, {"output", "sum", "input", "residual"});
  options.norms = o.flag("norms", options.norms);
  options.cross = o.flag("cross", options.cross);
  options.layers = o.word("layers", "");
  layers_named(options.layers);
  o.finish();
  return [options](const TunerContext& context) { return std::make_unique<Adapter>(options, context); };
}

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
  const std::set<int> layers = layers_named(options_.layers);
  int deepest = -1;
  for_each_sublayer(context.model, [&](const Site& site) {
    deepest = std::max(deepest, site.layer);
    if (!layers.empty() && !layers.count(site.layer)) return;
    if (!houlsby && site.place != Place::feed_forward) return;
    if (!options_.cross && site.place == Place::cross_attention) return;
    Module& m = modules_[site];
    m.down = tuner_parameter(context.model, {b, width});
    m.down_bias = tuner_parameter(context.model, {b});
    m.up = tuner_parameter(context.model, {width, b});
    m.up_bias = tuner_parameter(context.model, {width});
    if (options_.kind == "lin") {
      m.norm = tuner_parameter(context.model, {width});
      m.norm_bias = tuner_parameter(context.model, {width});
    }
    if (!context.initialize) return;
    if (m.norm) fill_uniform(m.norm, 0, "", 0, 1);  // all 1
    const std::string name = path_of(site) + ".adapter.down.weight";
    if (parallel) fill_uniform(m.down, context.seed, name, 1 / std::sqrt(double(width)));
    else fill_normal(m.down, context.seed, name, 0.01);
  });
  check_input(layers.empty() || *layers.rbegin() <= deepest, "adapter: layers=", options_.layers, ", but the last layer is ",
              deepest);
}

OptionMap Adapter::options() const {
  return {{"bottleneck", std::to_string(options_.bottleneck)},
          {"kind", options_.kind},
          {"activation", options_.activation},
          {"reads", options_.reads},
          {"norms", options_.norms ? "1" : "0"},
          {"cross", options_.cross ? "1" : "0"},
          {"layers", options_.layers}};
}

std::vector<NamedParameter> Adapter::parameters() {
  std::vector<NamedParameter> all;
  for (auto& [site, m] : modules_) {
    const std::string path = path_of(site) + ".adapter.";
    all.push_back({path + "down.bias", &m.down_bias, 0, options_.bottleneck});
    all.push_back({path + "down.weight", &m.down, 0, options_.bottleneck});
    if (m.norm) all.push_back({path + "norm.bias", &m.norm_bias, 0, m.norm_bias.value.size()});
    if (m.norm) all.push_back({path + "norm.weight", &m.norm, 0, m.norm.value.size()});
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
  return options_.norms && is_of_norm(name);
}

Var Adapter::after(Pass& pass, const Site& site, const Sublayer& sublayer, Var h, const Layout&) {
  const auto found = modules_.find(site);
  if (found == modules_.end()) return h;
  const Module& m = found->second;
  const std::string& reads = options_.reads;
  Var read = reads == "output"  ? h
                   : reads == "sum"   ? sublayer.result(sublayer.residual, h)
                   : reads == "input" ? sublayer.read
                                      : sublayer.residual;
  if (m.norm) read = apply(LayerNorm{kNormEpsilon}, read, pass(m.norm), pass(m.norm_bias));
  const Var a = apply(Activate{activation_}, apply(Linear{}, read, pass(m.down), pass(m.down_bias)), Var());
  return apply(Add{float(effective_scale())}, h, apply(Linear{}, a, pass(m.up), pass(m.up_bias)));
}

}  // namespace cambium
