// What the original programs answer (tests/data/metrics/make_goldens.py), read once.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "core/csv.h"
#include "core/error.h"
#include "experiments/lib/metrics/metric.h"

#include "tests/support/paths.h"

namespace cambium::testing {

inline const nlohmann::json& goldens() {
  static const nlohmann::json read =
      nlohmann::json::parse(read_data_file(source_path("tests/data/metrics/goldens.json.xz")));
  return read;
}

inline double named(const metrics::Scores& scores, const std::string& name) {
  for (const auto& [key, value] : scores)
    if (key == name) return value;
  throw Error("no score " + name);
}

// A golden case's texts, which may be stored in hexadecimal because they are no UTF-8.
inline std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) bytes += char(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

struct Texts {
  metrics::References references;
  metrics::Outputs outputs;

  explicit Texts(const nlohmann::json& golden)
      : references(golden["references"].get<metrics::References>()),
        outputs(golden["outputs"].get<metrics::Outputs>()) {
    if (!golden.contains("hex")) return;
    for (auto& group : references)
      for (auto& text : group) text = from_hex(text);
    for (auto& text : outputs) text = from_hex(text);
  }
};

}  // namespace cambium::testing
