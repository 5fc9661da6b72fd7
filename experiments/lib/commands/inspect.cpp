// inspect: what a checkpoint, a model or a file of tensors says of itself; checkpoints need no base for it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/hdf5.h"
#include "core/path_kind.h"
#include "core/printable.h"
#include "experiments/lib/commands/commands.h"
#include "experiments/lib/commands/tensors.h"
#include "experiments/lib/what_trains.h"
#include "models/fetch.h"
#include "tuning/peft.h"

namespace cambium {
namespace {

using nlohmann::ordered_json;

// Of all values below a group.
TensorStatistics statistics_below(const Hdf5File& file, const std::string& group) {
  TensorStatistics all;
  if (!file.is_group(group)) return all;
  double square = 0;
  for (const std::string& path : file.datasets(group)) {
    const TensorStatistics s = statistics_of(file.read(path));
    all.size += s.size, all.nan += s.nan, all.infinite += s.infinite, square += s.norm * s.norm;
  }
  all.norm = std::sqrt(square);
  return all;
}

// A tensor's shape and what its numbers are like.
ordered_json statistics_json(const Shape& shape, const TensorStatistics& s) {
  return {{"shape", std::vector<int64_t>(shape.begin(), shape.end())}, {"min", s.least}, {"max", s.most},
          {"norm", s.norm}, {"zeros", s.zeros}, {"nan", s.nan}, {"infinite", s.infinite}};
}

ordered_json describe_tensors(const std::string& path) {
  const NamedTensors tensors = open_tensors(path);
  ordered_json j{{"kind", tensors.kind}};
  if (is_peft_adapter(path)) j["config"] = ordered_json(parse_json_file(path + "/adapter_config.json"));
  ordered_json list = ordered_json::object();
  int64_t count = 0;
  for (const auto& [name, shape] : tensors.shapes) {
    list[name] = statistics_json(shape, statistics_of(tensors.read(name)));
    count += shape.size();
  }
  j["parameters"] = count;
  j["tensors"] = list;
  return j;
}

void print_tensors(const ordered_json& j) {
  std::printf("%s, %s parameters in %zu tensors\n", j["kind"].get<std::string>().c_str(), j["parameters"].dump().c_str(),
              j["tensors"].size());
  if (j.contains("config") && j["config"].contains("peft_type"))
    std::printf("peft_type %s\n", printable(j["config"]["peft_type"].dump()).c_str());
  std::printf("%12s %12s %12s %10s %6s  %s\n", "min", "max", "norm", "zeros", "NaN", "tensor");
  for (const auto& [name, t] : j["tensors"].items())
    std::printf("%12.5g %12.5g %12.5g %10s %6s  %s %s\n", t["min"].get<double>(), t["max"].get<double>(),
                t["norm"].get<double>(), t["zeros"].dump().c_str(),
                std::to_string(t["nan"].get<int64_t>() + t["infinite"].get<int64_t>()).c_str(), printable(name).c_str(),
                t["shape"].dump().c_str());
}

int64_t model_parameters(const std::string& config) {
  Model model(config_from_json(config, "base_config"), DType::f32, Device::cpu(), Model::Storage::none);
  return model.parameter_count();
}

ordered_json shapes_json(const std::map<std::string, Shape>& shapes) {
  ordered_json object = ordered_json::object();
  for (const auto& [name, shape] : shapes) object[name] = std::vector<int64_t>(shape.begin(), shape.end());
  return object;
}

int64_t scalars(const std::map<std::string, Shape>& shapes) {
  int64_t count = 0;
  for (const auto& [_, shape] : shapes) count += shape.size();
  return count;
}

ordered_json describe(const CheckpointInfo& info) {
  const Hdf5File file(info.path);
  const TensorStatistics tuner = statistics_below(file, "/tuner"), base = statistics_below(file, "/base"),
                         optimizer = statistics_below(file, "/optimizer");
  const StoredTuner& stored = info.tuner();
  const int64_t model = model_parameters(info.base.config),
                trained = scalars(stored.parameters) + scalars(info.trained_base);
  std::map<std::string, int64_t> sites;
  for (const auto* list : {&stored.parameters, &info.trained_base})
    for (const auto& [name, _] : *list) ++sites[site_of(name)];
  ordered_json j;
  j["method"] = stored.method;
  j["options"] = stored.options;
  j["effective_scale"] = stored.effective_scale;
  j["parameters"] = trained;
  j["share_of_model"] = double(trained) / double(model);
  j["sites"] = sites;
  j["tuner"] = shapes_json(stored.parameters);
  j["trained_base"] = shapes_json(info.trained_base);
  j["step"] = info.state.step;
  j["steps"] = info.state.steps;
  j["seed"] = info.state.seed;
  j["shards"] = info.state.shards;
  j["run"] = ordered_json::parse(info.state.run_config, nullptr, false);
  j["base"] = {{"source", info.base.source},
               {"hash", info.base.hash},
               {"dtype", info.base.dtype},
               {"parameters", model},
               {"config", ordered_json::parse(info.base.config, nullptr, false)}};
  j["norm"] = std::hypot(tuner.norm, base.norm);
  j["not_finite"] = tuner.nan + base.nan + optimizer.nan + tuner.infinite + base.infinite + optimizer.infinite;
  const NamedTensors tensors = open_tensors(info.path);
  for (const auto& [name, shape] : tensors.shapes) j["statistics"][name] = statistics_json(shape, statistics_of(tensors.read(name)));
  j["optimizer_state"] = optimizer.size;
  j["golden"] = {{"sequences", file.is_group("/golden") ? file.list("/golden").size() : 0}, {"status", "not checked"}};
  j["versions"] = {{"format", info.format_version},
                   {"software", info.software_version},
                   {"instruction_set", info.state.instruction_set}};
  return j;
}

// Loads the base and compares what it computes with what is stored.
void check_golden(const CommonOptions& common, const InspectOptions& options, const CheckpointInfo& info,
                  ordered_json& j) {
  const Golden golden = read_golden(options.files.front());
  check_input(!golden.empty(), options.files.front(), " stores no logits: nothing could be checked\ncambium train --tuner-from ",
              options.files.front(), " writes a checkpoint that has them");
  CommonOptions exact = common;
  exact.device = "cpu", exact.dtype = info.base.dtype;
  Session session = open_session(options.model.empty() ? info.base.source : options.model, exact);
  const auto tuner = open_tuner(options.files.front(), session, false);
  const double worst = golden_difference(*session.model, *tuner, golden);
  j["golden"]["largest_difference"] = worst;
  j["golden"]["status"] = worst <= 1e-4 ? "good" : "bad";
  CHECK(worst <= 1e-4, options.files.front(), ": logits differ from the stored ones by ", worst, "; at most 1e-4 is rounding");
}

void print(const ordered_json& j) {
  const auto line = [](const char* name, const std::string& value) {
    std::printf("%-16s %s\n", name, printable(value).c_str());
  };
  const auto plain = [](const ordered_json& v) { return v.is_string() ? v.get<std::string>() : v.dump(); };
  std::string options;
  for (const auto& [name, value] : j["options"].items())
    options += (options.empty() ? "" : ", ") + name + "=" + plain(value);
  line("method", plain(j["method"]) + (options.empty() ? "" : " (" + options + ")"));
  char share[32];
  std::snprintf(share, sizeof share, "%.4f %%", 100 * j["share_of_model"].get<double>());
  line("parameters", plain(j["parameters"]) + ", " + share + " of the model's " + plain(j["base"]["parameters"]));
  line("scale", plain(j["effective_scale"]));
  std::map<std::string, std::string> shapes;
  for (const char* part : {"tuner", "trained_base"})
    for (const auto& [name, shape] : j[part].items()) shapes[site_of(name)] = plain(shape);
  for (const auto& [site, count] : j["sites"].items())
    line("site", site + " x " + plain(count) + ", each " + shapes[site]);
  line("step", plain(j["step"]) + " of " + plain(j["steps"]) + ", seed " + plain(j["seed"]));
  line("base", plain(j["base"]["source"]) + " in " + plain(j["base"]["dtype"]) + ", hash " + plain(j["base"]["hash"]));
  line("norm", plain(j["norm"]) + ", " + plain(j["not_finite"]) + " values not finite");
  line("golden", plain(j["golden"]["sequences"]) + " sequences, " + plain(j["golden"]["status"]) +
                     (j["golden"].contains("largest_difference")
                          ? ", largest difference " + plain(j["golden"]["largest_difference"])
                          : ""));
  line("written by", plain(j["versions"]["software"]) + " on " + plain(j["versions"]["instruction_set"]));
}

ordered_json describe_model(const std::string& path) {
  const auto source = ModelSource::open(find_model(path));
  const ModelConfig& config = source->config();
  Model model(config, DType::f32, Device::cpu(), Model::Storage::none);
  return {{"kind", config.is_seq2seq()   ? "seq2seq"
                   : config.is_encoder() ? "encoder"
                                         : "decoder"},
          {"model", ordered_json::parse(to_json(config))},
          {"parameters", model.parameter_count()},
          {"hash", source->hash()}};
}

// A directory, a .gguf file, the name of a fetched model, or a whole model in a file of ours.
bool is_model(const std::string& path) {
  return is_directory(path) || path.ends_with(".gguf") || !file_exists(path) ||
         Hdf5File(path).has_attribute("/", "model_config");
}

}  // namespace

int run_inspect(const CommonOptions& common, const InspectOptions& options) {
  check_path(options.files.front(), Wanted::either);
  check_input(options.diff == (options.files.size() == 2), options.diff ? "--diff takes two files" : "inspect takes one file; --diff compares two");
  if (options.diff) return run_diff(common, options.files[0], options.files[1]);
  if (is_bare_tensors(options.files.front())) {
    check_input(!options.check, options.files.front(), " stores no logits; --check is for checkpoints of tuners");
    const ordered_json j = describe_tensors(options.files.front());
    if (common.json) std::cout << j.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << "\n";
    else print_tensors(j);
    return 0;
  }
  if (is_model(options.files.front())) {
    check_input(!options.check, options.files.front(), " is a model; --check is for checkpoints of tuners");
    std::cout << describe_model(options.files.front()).dump(common.json ? -1 : 2) << "\n";
    return 0;
  }
  const CheckpointInfo info = read_checkpoint_info(options.files.front());
  ordered_json j = describe(info);
  if (options.check) check_golden(common, options, info, j);
  if (common.json) std::cout << j.dump() << "\n";
  else print(j);
  return 0;
}

}  // namespace cambium
