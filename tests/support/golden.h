// Reference files of tests/golden, made with PyTorch and transformers (tests/golden/README.md).
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/json.h"
#include "models/files/safetensors.h"
#include "models/layout.h"
#include "models/load.h"
#include "tests/support/array.h"
#include "tests/support/paths.h"

namespace cambium::testing {

inline std::string golden_path(const std::string& name) { return source_path("tests/golden/" + name); }

// Sequences of a batch.json or cases.json.
inline Batch golden_batch(const nlohmann::json& j) {
  Batch batch;
  for (const auto& ids : j.at("inputs")) {
    batch.emplace_back();
    batch.back().ids = ids.get<std::vector<int32_t>>();
    batch.back().index = int64_t(batch.size()) - 1;
    if (j.contains("targets")) batch.back().labels = j.at("targets").at(batch.size() - 1).get<std::vector<int32_t>>();
  }
  return batch;
}

// transformers' name of one of our parameters, and whether it has the matrix transposed: GPT-2's four a layer, which
// have no foreign name of their own; their biases do.
struct GoldenName {
  std::string name;
  bool transposed = false;
};

inline GoldenName golden_name(const ModelSource& source, const std::string& ours) {
  const std::string name = source.foreign_name(ours);
  if (!name.empty() || !ours.ends_with(".weight")) return {name};
  const std::string bias = source.foreign_name(ours.substr(0, ours.size() - 6) + "bias");
  return {bias.empty() ? bias : bias.substr(0, bias.size() - 4) + "weight", true};
}

// A matrix as it is in the file of that name.
inline Array as_in_file(const Array& a, const GoldenName& name) {
  if (!name.transposed) return a;
  Array t({a.cols(), a.rows()});
  for (int64_t r = 0; r < a.rows(); ++r)
    for (int64_t c = 0; c < a.cols(); ++c) t(c, r) = a(r, c);
  return t;
}

// A tensor's gradient agrees within `share` of its largest value plus 1e-6 of the largest of all tensors: gradients
// that are zero but for rounding (attention's key biases) are no reference.
inline void expect_close(const Array& value, const Array& reference, double share, double floor,
                         const std::string& what) {
  ASSERT_EQ(value.size(), reference.size()) << what;
  const double allowed = share * reference.largest() + floor;
  for (int64_t i = 0; i < value.size(); ++i) ASSERT_NEAR(value(i), reference(i), allowed) << what << ", element " << i;
}

}  // namespace cambium::testing
