// Parameters, and how they get their names: from one `visit` a struct, which names its members.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/tensor.h"

namespace cambium {

// Stored numbers. Several named matrices that read the same input (query, key, value) are stored as one,
// [sum of their rows, columns], so that they are one product; see Parts.
struct Parameter {
  Tensor value;         // none: this model does not have it
  bool buffer = false;  // a constant of the model that never trains (BART's final_logits_bias)

  explicit operator bool() const { return bool(value); }
};

// The names of row ranges of a parameter; one unnamed part is the whole.
struct Part {
  std::string name;
  int64_t begin = 0, end = 0;
};

// Rows [begin, end) of a parameter under a name such as "decoder.layers.3.self_attention.query.weight".
struct NamedParameter {
  std::string name;
  Parameter* parameter = nullptr;
  int64_t begin = 0, end = 0;

  Tensor value() const { return parameter->value.rows(begin, end); }
};

// The one of this name. Throws Error where there is none.
const NamedParameter& parameter_named(const std::vector<NamedParameter>&, std::string_view name);

namespace detail {

inline std::string joined(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : name.empty() ? path : path + "." + std::string(name);
}

}  // namespace detail

// Calls f(NamedParameter) for each parameter of a module that has a value, in declaration order. A module has
//   void visit(auto&& at) { at("query", query); at("output", output); }
// where members are modules, parameters, vectors of modules, or pointers to modules (may be null).
// A parameter with parts is named by at.parts("weight", parameter, parts).
template <class Module, class F>
void walk(Module& module, const F& f, const std::string& path = "");

namespace detail {

template <class F>
struct Visitor {
  const F& f;
  const std::string& path;

  void operator()(std::string_view name, Parameter& p) const {
    if (p) f(NamedParameter{joined(path, name), &p, 0, p.value.shape()[0]});
  }
  void parts(std::string_view name, Parameter& p, const std::vector<Part>& parts) const {
    if (!p) return;
    for (const Part& part : parts) f(NamedParameter{joined(joined(path, part.name), name), &p, part.begin, part.end});
  }
  template <class Child>
  void operator()(std::string_view name, Child& child) const {
    const std::string here = joined(path, name);
    if constexpr (requires { child.begin(); }) {
      size_t i = 0;
      for (auto& element : child) walk(element, f, joined(here, std::to_string(i++)));
    } else if constexpr (requires { *child; }) {
      if (child) walk(*child, f, here);
    } else {
      walk(child, f, here);
    }
  }
};

}  // namespace detail

template <class Module, class F>
void walk(Module& module, const F& f, const std::string& path) {
  module.visit(detail::Visitor<F>{f, path});
}

// All of a module's parameters, by ascending name.
template <class Module>
std::vector<NamedParameter> parameters_of(Module& module) {
  std::vector<NamedParameter> all;
  walk(module, [&](NamedParameter p) { all.push_back(std::move(p)); });
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

}  // namespace cambium
