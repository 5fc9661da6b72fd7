// inspect --diff: how two files of tensors differ, tensor by tensor.
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/printable.h"
#include "experiments/lib/commands/commands.h"
#include "experiments/lib/commands/tensors.h"

namespace cambium {
namespace {

using nlohmann::ordered_json;

struct Change {
  double norm = 0, before = 0, largest = 0;  // |b - a|, |a|, max |b - a|
  int64_t not_finite = 0;                     // places where one of both is no number; they count nowhere else
  bool any() const { return norm > 0 || not_finite > 0; }
};

Change change_of(const Tensor& a, const Tensor& b) {
  const Tensor x = a.to(Device::cpu()).to(DType::f64), y = b.to(Device::cpu()).to(DType::f64);
  Change c;
  double square = 0, old = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    const double d = y.data<double>()[i] - x.data<double>()[i];
    if (!std::isfinite(d)) {
      ++c.not_finite;
      continue;
    }
    square += d * d, old += x.data<double>()[i] * x.data<double>()[i];
    c.largest = std::max(c.largest, std::abs(d));
  }
  c.norm = std::sqrt(square), c.before = std::sqrt(old);
  return c;
}

ordered_json shape_json(const Shape& shape) { return std::vector<int64_t>(shape.begin(), shape.end()); }

// |b - a|^2 / |a|^2, null where a is zero.
ordered_json nmse(const Change& c) {
  return c.before > 0 ? ordered_json(c.norm * c.norm / (c.before * c.before)) : ordered_json();
}

void print_changes(const ordered_json& j) {
  for (const auto& c : j["changed"]) {
    char line[128];
    std::snprintf(line, sizeof line, "%12.5g %12s %12.5g  ", c["norm"].get<double>(),
                  c["nmse"].is_null() ? "-" : text(c["nmse"].get<double>()).c_str(), c["largest"].get<double>());
    const int64_t lost = c["not_finite"].get<int64_t>();
    std::cout << line << printable(c["name"].get<std::string>()) << " " << c["shape"].dump()
              << (lost ? text(", ", lost, " not finite") : "") << "\n";
  }
  for (const auto& [field, word] : {std::pair{"added", "only in B"}, {"missing", "only in A"}, {"reshaped", "another shape"}})
    for (const auto& t : j[field]) std::cout << word << ": " << printable(t["name"].get<std::string>()) << " " << t["shape"].dump() << "\n";
  std::cout << j["equal"] << " equal, " << j["changed"].size() << " changed, " << j["added"].size() << " only in B, "
            << j["missing"].size() << " only in A, " << j["reshaped"].size() << " of another shape\n";
}

}  // namespace

int run_diff(const CommonOptions& common, const std::string& first, const std::string& second) {
  const NamedTensors a = open_tensors(first), b = open_tensors(second);
  ordered_json j{{"a", first}, {"b", second}, {"equal", 0}};
  for (const char* list : {"changed", "added", "missing", "reshaped"}) j[list] = ordered_json::array();
  int64_t equal = 0;
  double square = 0, before = 0;
  for (const auto& [name, shape] : a.shapes) {
    const auto found = b.shapes.find(name);
    if (found == b.shapes.end()) {
      j["missing"].push_back({{"name", name}, {"shape", shape_json(shape)}});
      continue;
    }
    if (!(found->second == shape)) {
      j["reshaped"].push_back({{"name", name}, {"shape", {shape_json(shape), shape_json(found->second)}}});
      continue;
    }
    const Change c = change_of(a.read(name), b.read(name));
    square += c.norm * c.norm, before += c.before * c.before;
    if (!c.any()) {
      ++equal;
      continue;
    }
    j["changed"].push_back({{"name", name}, {"shape", shape_json(shape)}, {"norm", c.norm}, {"nmse", nmse(c)},
                            {"largest", c.largest}, {"not_finite", c.not_finite}});
  }
  for (const auto& [name, shape] : b.shapes)
    if (!a.shapes.count(name)) j["added"].push_back({{"name", name}, {"shape", shape_json(shape)}});
  j["equal"] = equal;
  j["norm"] = std::sqrt(square);
  j["nmse"] = before > 0 ? ordered_json(square / before) : ordered_json();
  if (common.json) {
    std::cout << j.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << "\n";
    return 0;
  }
  std::printf("%12s %12s %12s  %s\n", "|B - A|", "NMSE", "largest", "tensor");
  std::fflush(stdout);
  print_changes(j);
  return 0;
}

}  // namespace cambium
