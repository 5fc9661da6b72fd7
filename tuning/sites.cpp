#include "tuning/sites.h"

#include <algorithm>
#include <map>

namespace cambium {
namespace {

template <class F>
void for_each_layer(Model& model, const F& f) {
  const auto stack = [&](StackKind kind, Stack* s) {
    for (size_t i = 0; s && i < s->layers.size(); ++i) f(kind, int(i), s->layers[i]);
  };
  stack(StackKind::encoder, model.encoder.get());
  stack(StackKind::decoder, model.decoder.get());
}

}  // namespace

void for_each_product(Model& model, const std::function<void(const Site&, Dense&)>& f) {
  for_each_layer(model, [&](StackKind kind, int i, Layer& layer) {
    const Site self{kind, i, Place::self_attention}, cross{kind, i, Place::cross_attention},
        feed{kind, i, Place::feed_forward};
    f(self, layer.self_attention.query_key_value);
    f(self, layer.self_attention.output);
    if (layer.cross_attention) {
      f(cross, layer.cross_attention->query);
      f(cross, layer.cross_attention->key_value);
      f(cross, layer.cross_attention->output);
    }
    f(feed, layer.feed_forward.up);
    f(feed, layer.feed_forward.down);
  });
}

void for_each_sublayer(Model& model, const std::function<void(const Site&)>& f) {
  for_each_layer(model, [&](StackKind kind, int i, Layer& layer) {
    f({kind, i, Place::self_attention});
    if (layer.cross_attention) f({kind, i, Place::cross_attention});
    f({kind, i, Place::feed_forward});
  });
}

bool selects(std::string_view selector, std::string_view module) {
  if (selector.empty() || !module.ends_with(selector)) return false;
  return selector.size() == module.size() || module[module.size() - selector.size() - 1] == '.';
}

bool selects(const std::vector<std::string>& selectors, std::string_view module) {
  return std::any_of(selectors.begin(), selectors.end(), [&](const std::string& s) { return selects(s, module); });
}

namespace {

constexpr const char* kFused = "query_key_value";

std::vector<Target> all_targets(Model& model) {
  std::vector<Target> all;
  for_each_product(model, [&](const Site& site, Dense& dense) {
    const auto add = [&](const std::string& name, int64_t begin, int64_t end) {
      all.push_back({site, &dense, dense.parts.front().name, name, begin, end});
    };
    for (const Part& part : dense.parts) add(part.name, part.begin, part.end);
    if (dense.parts.size() == 3) add(kFused, 0, dense.parts.back().end);
  });
  return all;
}

}  // namespace

std::vector<Target> find_targets(Model& model, const std::string& method, const std::vector<std::string>& wanted) {
  std::vector<Target> found = all_targets(model);
  std::erase_if(found, [&](const Target& t) { return !selects(wanted, t.name()); });
  for (const std::string& target : wanted)
    check_input(std::any_of(found.begin(), found.end(), [&](const Target& t) { return selects(target, t.name()); }), method,
                ": targets=", target, " matches nothing in this model; it has query, key, value, output, ",
                model.config().gated ? "gate, up, down" : "up, down", " and ", kFused);
  return found;
}

std::vector<std::string> selectors_of(Model& model, const std::set<std::string>& modules) {
  std::map<std::string, bool> whole;  // by part: whether all of that name are wanted
  const std::vector<Target> all = all_targets(model);
  for (const Target& t : all) whole.try_emplace(t.part, true).first->second &= modules.count(t.name()) > 0;
  std::vector<std::string> selectors;
  for (const auto& [part, is_whole] : whole)
    if (is_whole) selectors.push_back(part);
  for (const Target& t : all)
    if (modules.count(t.name()) && !whole.at(t.part)) selectors.push_back(t.name());
  return selectors;
}

bool is_of_norm(std::string_view name) {
  return name.find("norm.weight") != name.npos || name.find("norm.bias") != name.npos;
}

}  // namespace cambium
