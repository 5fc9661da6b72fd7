#include "tuning/compose.h"

#include <algorithm>

#include "tuning/methods.h"
#include "tuning/prefix.h"

namespace cambium {
namespace {

// What each child's options begin with: its method's name where no other has it, else its number.
std::vector<std::string> keys_of(const std::vector<std::string>& names) {
  std::vector<std::string> keys;
  for (size_t i = 0; i < names.size(); ++i)
    keys.push_back(std::count(names.begin(), names.end(), names[i]) == 1 ? names[i] : std::to_string(i));
  return keys;
}

// Of each child the options that are its own, without their beginnings, from dotted ones.
std::vector<OptionMap> parted(const std::string& method, const OptionMap& options, const std::vector<std::string>& keys) {
  std::vector<OptionMap> own(keys.size());
  for (const auto& [name, value] : options) {
    const size_t dot = name.find('.');
    const std::string whose = name.substr(0, dot);
    size_t child = 0;
    while (child < keys.size() && keys[child] != whose && std::to_string(child) != whose) ++child;
    check_input(dot != name.npos && child < keys.size(), method, " has no option ", name, "; say whose it is, as in ",
                keys.front(), ".NAME; there are ", listed(keys));
    own[child][name.substr(dot + 1)] = value;
  }
  return own;
}

}  // namespace

TunerMaker Compose::read(OptionReader& o, const std::string& names, const OptionMap& defaults) {
  const std::vector<std::string> methods = split(names, '+'), keys = keys_of(methods);
  std::vector<OptionMap> own = parted(o.method(), o.given(), keys);
  const std::vector<OptionMap> fallback = parted(o.method(), defaults, keys);
  std::vector<TunerMaker> makers;
  for (size_t i = 0; i < methods.size(); ++i) {
    own[i].insert(fallback[i].begin(), fallback[i].end());
    OptionReader reader(methods[i], own[i]);
    makers.push_back(method_named(methods[i]).read(reader));
    o.take(keys[i] + ".", reader);
  }
  return [makers, keys, name = o.method()](const TunerContext& context) {
    std::vector<Child> children;
    for (size_t i = 0; i < makers.size(); ++i) {
      TunerContext of_child = context;
      of_child.seed += i;  // two of one kind start differently
      children.push_back({keys[i], makers[i](of_child)});
    }
    return std::make_unique<Compose>(name, std::move(children), context.model);
  };
}

TunerMaker Compose::read_mam(OptionReader& o) {
  return read(o, "prefix+adapter",
              {{"prefix.length", "30"}, {"adapter.kind", "parallel"}, {"adapter.bottleneck", "512"}});
}

Compose::Compose(std::string method, std::vector<Child> children, Model& model)
    : method_(std::move(method)), children_(std::move(children)) {
  check_base(model);
  int inserting = 0, prefixes = 0;
  for (const Child& c : children_) {
    inserting += c.tuner->virtual_tokens(StackKind::encoder, 0) + c.tuner->virtual_tokens(StackKind::decoder, 0) > 0;
    prefixes += dynamic_cast<const Prefix*>(c.tuner.get()) != nullptr;
  }
  check_input(inserting <= 1, method_, ": two tuners that insert virtual tokens cannot be put together");
  check_input(prefixes <= 1, method_, ": two tuners that put keys and values before attention's cannot be put together");
}

void Compose::check_base(Model& model) const {
  for (const NamedParameter& p : model.parameters()) {
    std::vector<std::string> both;
    for (const Child& c : children_)
      if (c.tuner->trains(p.name)) both.push_back(c.key);
    check_input(both.size() <= 1, method_, ": ", listed(both, " and "), " would both train ", p.name);
  }
}

OptionMap Compose::options() const {
  OptionMap all;
  for (const Child& c : children_)
    for (const auto& [name, value] : c.tuner->options()) all[c.key + "." + name] = value;
  return all;
}

std::vector<NamedParameter> Compose::parameters() {
  std::vector<NamedParameter> all;
  for (size_t i = 0; i < children_.size(); ++i)
    for (NamedParameter p : children_[i].tuner->parameters()) {
      p.name = std::to_string(i) + "." + p.name;
      all.push_back(std::move(p));
    }
  return all;
}

double Compose::default_learning_rate() const {
  double rate = children_.front().tuner->default_learning_rate();
  for (const Child& c : children_) rate = std::min(rate, c.tuner->default_learning_rate());
  return rate;
}

std::pair<const Tuner*, std::string_view> Compose::owner(std::string_view name) const {
  for (size_t i = 0; i < children_.size(); ++i) {
    const std::string beginning = std::to_string(i) + ".";
    if (name.starts_with(beginning)) return {children_[i].tuner.get(), name.substr(beginning.size())};
  }
  for (const Child& c : children_)
    if (c.tuner->trains(name)) return {c.tuner.get(), name};
  return {children_.front().tuner.get(), name};
}

double Compose::rate_factor(std::string_view name) const {
  const auto [tuner, own] = owner(name);
  return tuner->rate_factor(own);
}

double Compose::live_share(std::string_view name) const {
  const auto [tuner, own] = owner(name);
  return tuner->live_share(own);
}

bool Compose::draws() const {
  return std::any_of(children_.begin(), children_.end(), [](const Child& c) { return c.tuner->draws(); });
}

bool Compose::merge_into(Model& model) {
  return std::all_of(children_.begin(), children_.end(), [&](Child& c) { return c.tuner->merge_into(model); });
}

bool Compose::unmerge_from(Model& model) {
  return std::all_of(children_.rbegin(), children_.rend(), [&](Child& c) { return c.tuner->unmerge_from(model); });
}

void Compose::embedded(Pass& pass, StackKind kind, Var& rows, Layout& layout) {
  for (Child& c : children_) c.tuner->embedded(pass, kind, rows, layout);
}

int64_t Compose::virtual_tokens(StackKind kind, int tuner) const {
  int64_t sum = 0;
  for (const Child& c : children_) sum += c.tuner->virtual_tokens(kind, tuner);
  return sum;
}

int64_t Compose::position_shift(StackKind kind, int tuner) const {
  int64_t sum = 0;
  for (const Child& c : children_) sum += c.tuner->position_shift(kind, tuner);
  return sum;
}

Var Compose::layer_input(Pass& pass, StackKind kind, int layer, Var x, const Layout& layout) {
  for (Child& c : children_) x = c.tuner->layer_input(pass, kind, layer, std::move(x), layout);
  return x;
}

Var Compose::input(Pass& pass, const Projection& projection, Var x, const Layout& layout) {
  for (Child& c : children_) x = c.tuner->input(pass, projection, std::move(x), layout);
  return x;
}

Var Compose::projected(Pass& pass, const Projection& projection, const Var& x, Var y, const Layout& layout) {
  for (Child& c : children_) y = c.tuner->projected(pass, projection, x, std::move(y), layout);
  return y;
}

PrefixRows Compose::prefix(Pass& pass, const Site& site, const Layout& layout) {
  for (Child& c : children_)
    if (PrefixRows rows = c.tuner->prefix(pass, site, layout)) return rows;
  return {};
}

bool Compose::reaches_inside(const Site& site) const {
  return std::any_of(children_.begin(), children_.end(), [&](const Child& c) { return c.tuner->reaches_inside(site); });
}

Var Compose::hidden(Pass& pass, const Site& site, Var a, const Layout& layout) {
  for (Child& c : children_) a = c.tuner->hidden(pass, site, std::move(a), layout);
  return a;
}

Var Compose::after(Pass& pass, const Site& site, const Sublayer& sublayer, Var h, const Layout& layout) {
  for (Child& c : children_) h = c.tuner->after(pass, site, sublayer, std::move(h), layout);
  return h;
}

bool Compose::trains(std::string_view name) const {
  return std::any_of(children_.begin(), children_.end(), [&](const Child& c) { return c.tuner->trains(name); });
}

double composed_learning_rate(const std::string& names) {
  double rate = 1;
  for (const std::string& name : split(names, '+')) rate = std::min(rate, method_named(name).learning_rate);
  return rate;
}

}  // namespace cambium
