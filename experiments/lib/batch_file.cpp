#include "experiments/lib/batch_file.h"

#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/json_integer.h"
#include "core/path_kind.h"
#include "experiments/lib/open_tuners.h"

namespace cambium {
namespace {

using nlohmann::json;

std::vector<int32_t> ids_of(const json& list, const std::string& where) {
  check_input(list.is_array(), where, ": ", brief(list), " is no list of ids");
  std::vector<int32_t> ids;
  for (const json& id : list) {
    check_input(is_int(id, INT32_MIN, INT32_MAX), where, ": ", brief(id), " is no id");
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

Batch batch_of(const json& object, const Model& model, std::span<const std::string> tuners, const std::string& where) {
  check_input(object.is_object() && object.contains("inputs") && object["inputs"].is_array(), where,
              " has no list \"inputs\"");
  for (const auto& [name, _] : object.items())
    check_input(name == "inputs" || name == "targets" || name == "tuners", where, ": \"", name,
                "\" is none of inputs, targets, tuners");
  const json& inputs = object["inputs"];
  check_input(!inputs.empty(), where, ": \"inputs\" is empty");
  for (const char* name : {"targets", "tuners"})
    check_input(!object.contains(name) || (object[name].is_array() && object[name].size() == inputs.size()), where,
                ": \"", name, "\" needs one entry for each of the ", inputs.size(), " inputs");
  Batch batch;
  for (size_t s = 0; s < inputs.size(); ++s) {
    Sequence q;
    q.index = int64_t(s);
    q.ids = ids_of(inputs[s], text(where, ": inputs[", s, "]"));
    if (object.contains("targets")) q.labels = ids_of(object["targets"][s], text(where, ": targets[", s, "]"));
    check_input(!object.contains("targets") || !q.labels.empty(), where, ": targets[", s, "] is empty");
    q.tuner = tuners.size() == 1 ? 0 : -1;
    if (object.contains("tuners"))
      q.tuner = tuner_number(object["tuners"][s], tuners, text(where, ": tuners[", s, "]"));
    batch.push_back(std::move(q));
  }
  reading(where, [&] { model.check(batch); });
  return batch;
}

}  // namespace

Batch read_batch_file(const std::string& path, const Model& model, std::span<const std::string> tuners) {
  check_path(path, Wanted::json);
  return batch_of(parse_json_file(path), model, tuners, path);
}

}  // namespace cambium
