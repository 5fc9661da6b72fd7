// inspect: what a checkpoint or a model says of itself; checkpoints need no base for it.
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
#include "models/fetch.h"

namespace cambium {
namespace {

using nlohmann::ordered_json;

struct Norms {
  double square = 0;
  int64_t size = 0, not_finite = 0;
};

Norms norms_below(const Hdf5File& file, const std::string& group) {
  Norms n;
  if (!file.is_group(group)) return n;
  for (const std::string& path : file.datasets(group)) {
    const Tensor t = file.read(path).to(DType::f64);
    n.size += t.size();
    for (const double x : t.span<double>()) std::isfinite(x) ? void(n.square += x * x) : void(++n.not_finite);
  }
  return n;
}

int64_t model_parameters(const std::string& config) {
  Model model(config_from_json(config, "base_config"), DType::f32, Device::cpu(), Model::Storage::none);
  return model.parameter_count();
}

// "decoder.layers.3.self_attention.query.lora_a" -> "decoder.layers.*.self_attention.query.lora_a"
std::string site_of(std::string name) {
  const size_t layers = name.find(".layers.");
  if (layers == name.npos) return name;
  const size_t begin = layers + 8, end = name.find('.', begin);
  return name.replace(begin, end - begin, "*");
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
  const Norms tuner = norms_below(file, "/tuner"), base = norms_below(file, "/base"),
              optimizer = norms_below(file, "/optimizer");
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
  j["norm"] = std::sqrt(tuner.square + base.square);
  j["not_finite"] = tuner.not_finite + base.not_finite + optimizer.not_finite;
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
  const Golden golden = read_golden(options.file);
  check_input(!golden.empty(), options.file, " stores no logits: nothing could be checked\ncambium train --tuner-from ",
              options.file, " writes a checkpoint that has them");
  CommonOptions exact = common;
  exact.device = "cpu", exact.dtype = info.base.dtype;
  Session session = open_session(options.model.empty() ? info.base.source : options.model, exact);
  const auto tuner = open_tuner(options.file, session, false);
  const double worst = golden_difference(*session.model, *tuner, golden);
  j["golden"]["largest_difference"] = worst;
  j["golden"]["status"] = worst <= 1e-4 ? "good" : "bad";
  CHECK(worst <= 1e-4, options.file, ": logits differ from the stored ones by ", worst, "; at most 1e-4 is rounding");
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
  check_path(options.file, Wanted::either);
  if (is_model(options.file)) {
    check_input(!options.check, options.file, " is a model; --check is for checkpoints of tuners");
    std::cout << describe_model(options.file).dump(common.json ? -1 : 2) << "\n";
    return 0;
  }
  const CheckpointInfo info = read_checkpoint_info(options.file);
  ordered_json j = describe(info);
  if (options.check) check_golden(common, options, info, j);
  if (common.json) std::cout << j.dump() << "\n";
  else print(j);
  return 0;
}

}  // namespace cambium
