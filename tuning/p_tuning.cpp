#include "tuning/p_tuning.h"

#include <cmath>

#include "autograd/ops/elementwise.h"
#include "autograd/ops/linear.h"
#include "autograd/ops/lstm.h"

namespace cambium {

TunerMaker PTuning::read(OptionReader& o) {
  Options options;
  options.length = o.integer("length", options.length, 1, kLongest);
  options.encoder = o.choice("encoder", options.encoder, {"lstm", "mlp"});
  options.hidden = o.integer("hidden", options.hidden, 0, kLongest);
  o.finish();
  return [options](const TunerContext& context) { return std::make_unique<PTuning>(options, context); };
}

PTuning::PTuning(const Options& options, const TunerContext& context)
    : VirtualRows("p_tuning", options.length, "", context.model.config()), options_(options), stack_(where_) {
  const int64_t width = context.model.config().width, h = options_.hidden ? options_.hidden : width;
  add(context, "embedding.weight", {options_.length, width}, 0);
  const auto linear = [&](const std::string& name, int64_t in, int64_t out) {
    const double bound = 1 / std::sqrt(double(in));
    add(context, name + ".weight", {out, in}, bound);
    add(context, name + ".bias", {out}, bound);
  };
  if (options_.encoder == "mlp") {
    linear("mlp_head.0", width, h), linear("mlp_head.2", h, h), linear("mlp_head.4", h, width);
    return;
  }
  for (const std::string layer : {"l0", "l1"})
    for (const std::string way : {"", "_reverse"}) {
      const double bound = 1 / std::sqrt(double(h));
      add(context, "lstm_head.weight_ih_" + layer + way, {4 * h, layer == "l0" ? width : 2 * h}, bound);
      add(context, "lstm_head.weight_hh_" + layer + way, {4 * h, h}, bound);
      add(context, "lstm_head.bias_ih_" + layer + way, {4 * h}, bound);
      add(context, "lstm_head.bias_hh_" + layer + way, {4 * h}, bound);
    }
  linear("mlp_head.0", 2 * h, 2 * h), linear("mlp_head.2", 2 * h, width);
}

// bound 0: N(0, 1), else uniform.
void PTuning::add(const TunerContext& context, const std::string& name, const Shape& shape, double bound) {
  Parameter& p = values_[name] = tuner_parameter(context.model, shape);
  const std::string full = stack_ + ".prompt." + name;
  if (!context.initialize) return;
  if (bound > 0) fill_uniform(p, context.seed, full, bound);
  else fill_normal(p, context.seed, full, 1);
}

OptionMap PTuning::options() const {
  return {{"length", std::to_string(options_.length)},
          {"encoder", options_.encoder},
          {"hidden", std::to_string(options_.hidden)}};
}

std::vector<NamedParameter> PTuning::parameters() {
  std::vector<NamedParameter> all;
  for (auto& [name, p] : values_) all.push_back({stack_ + ".prompt." + name, &p, 0, p.value.shape()[0]});
  return all;
}

// A ReLU may keep some of the network dark for all rows.
double PTuning::live_share(std::string_view name) const { return name.ends_with("embedding.weight") ? 1 : 0.05; }

Var PTuning::linear(const Pass& pass, const std::string& name, const Var& x) const {
  return apply(Linear{}, x, pass(values_.at(name + ".weight")), pass(values_.at(name + ".bias")));
}

Var PTuning::lstm_layer(const Pass& pass, const std::string& layer, const Var& x) const {
  const auto value = [&](const std::string& what, const std::string& way) {
    return pass(values_.at("lstm_head." + what + "_" + layer + way));
  };
  const auto gates = [&](const std::string& way) {
    const Var bias = apply(Add{}, value("bias_ih", way), value("bias_hh", way));
    return apply(Linear{}, x, value("weight_ih", way), bias);
  };
  return apply(BidirectionalLstm{}, gates(""), value("weight_hh", ""), gates("_reverse"), value("weight_hh", "_reverse"));
}

Var PTuning::rows_of(Pass& pass, StackKind) {
  const auto relu = [](const Var& x) { return apply(Activate{Activation::relu}, x, Var()); };
  const Var table = pass(values_.at("embedding.weight"));
  if (options_.encoder == "mlp")
    return linear(pass, "mlp_head.4", relu(linear(pass, "mlp_head.2", relu(linear(pass, "mlp_head.0", table)))));
  const Var read = lstm_layer(pass, "l1", lstm_layer(pass, "l0", table));
  return linear(pass, "mlp_head.2", relu(linear(pass, "mlp_head.0", read)));
}

}  // namespace cambium
