// The sites of a model, for tuners that put something at each of them.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "models/hooks.h"
#include "models/model.h"

namespace cambium {

// Calls f(site, product) for every product of every layer, in a fixed order.
void for_each_product(Model&, const std::function<void(const Site&, Dense&)>& f);

// A projection of a product: rows [begin, end) of its weight, and what it is called.
struct Target {
  Site site;
  Dense* dense = nullptr;
  std::string product;  // the product's first part: with the site it names the product
  std::string part;     // "query"; query_key_value for the three as one matrix
  int64_t begin = 0, end = 0;

  std::string name() const { return path_of(site) + "." + part; }  // "decoder.layers.0.self_attention.query"
  int64_t in() const { return dense->weight.value.cols(); }
  int64_t out() const { return end - begin; }
};

// What a tuner has at some of the projections, by their products.
template <class T>
class AtProducts {
 public:
  using List = std::vector<T>;

  List& at(const Target& t) { return lists_[{t.site, t.product}]; }
  // Null where it has none.
  const List* find(const Projection& p) const {
    const auto found = lists_.find({p.site, p.dense.parts.front().name});
    return found == lists_.end() ? nullptr : &found->second;
  }
  bool has(const Site& site) const {
    const auto found = lists_.lower_bound({site, ""});
    return found != lists_.end() && found->first.first == site;
  }
  // In a fixed order.
  auto begin() { return lists_.begin(); }
  auto end() { return lists_.end(); }
  auto begin() const { return lists_.begin(); }
  auto end() const { return lists_.end(); }

 private:
  std::map<std::pair<Site, std::string>, List> lists_;  // by site and first part of the product
};

// Whether a selector names a module: its whole name or the end of it behind a dot ("query", "self_attention.query",
// "decoder.layers.1.feed_forward.down").
bool selects(std::string_view selector, std::string_view module);
bool selects(const std::vector<std::string>& selectors, std::string_view module);

// The projections that one of `wanted` selects (query, key, value, query_key_value, output, gate, up, down, or those of
// some layers alone), product by product. Throws InputError, in the method's name, for one that matches nothing.
std::vector<Target> find_targets(Model&, const std::string& method, const std::vector<std::string>& wanted);

// Selectors of exactly these modules: a part's name where all of that name are among them, else whole names.
std::vector<std::string> selectors_of(Model&, const std::set<std::string>& modules);

// Whether a parameter is a norm's: weight or bias, in a layer, behind the embedding or at the end of a stack.
bool is_of_norm(std::string_view name);

// Calls f(site) for every sublayer: self-attention, cross-attention where there is one, feed-forward.
void for_each_sublayer(Model&, const std::function<void(const Site&)>& f);

}  // namespace cambium
