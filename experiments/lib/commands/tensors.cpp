#include "experiments/lib/commands/tensors.h"

#include <cmath>
#include <limits>
#include <memory>

#include "core/files.h"
#include "core/hdf5.h"
#include "core/path_kind.h"
#include "models/fetch.h"
#include "models/files/safetensors.h"
#include "models/load.h"
#include "tuning/checkpoint.h"
#include "tuning/peft.h"

namespace cambium {
namespace {

NamedTensors of_checkpoint(const std::string& path) {
  const CheckpointInfo info = read_checkpoint_info(path);
  const auto file = std::make_shared<const Hdf5File>(path);
  std::map<std::string, std::string> places;
  NamedTensors all{info.tuners.size() == 1 ? info.tuner().method : "tuners", {}, {}};
  const auto add = [&](const std::string& name, const std::string& group, const std::string& own, const Shape& shape) {
    std::string place = own;
    for (char& c : place)
      if (c == '.') c = '/';
    places[name] = group + "/" + place;
    all.shapes[name] = shape;
  };
  for (size_t i = 0; i < info.tuners.size(); ++i)
    for (const auto& [name, shape] : info.tuners[i].parameters)
      add(info.tuners.size() == 1 ? name : text(i, ".", name), info.tuners[i].group, name, shape);
  for (const auto& [name, shape] : info.trained_base) add("base." + name, "/base", name, shape);
  all.read = [file, places](const std::string& name) { return file->read(places.at(name)); };
  return all;
}

NamedTensors of_weights(const std::string& path, std::string kind) {
  const auto file = std::make_shared<const SafetensorsFile>(path);
  NamedTensors all{std::move(kind), {}, [file](const std::string& name) { return file->read(name); }};
  for (const auto& [name, entry] : file->entries()) all.shapes[name] = entry.shape;
  return all;
}

NamedTensors of_model(const std::string& path) {
  const std::shared_ptr<const ModelSource> source = ModelSource::open(find_model(path));
  NamedTensors all{"model", {}, [source](const std::string& name) { return source->read(name); }};
  Model model(source->config(), DType::f32, Device::cpu(), Model::Storage::none);
  for (const NamedParameter& p : model.parameters()) all.shapes[p.name] = p.value().shape();
  return all;
}

}  // namespace

bool is_bare_tensors(const std::string& path) {
  if (is_peft_adapter(path)) return true;
  const PathKind kind = kind_of(path);
  return kind == PathKind::weights || kind == PathKind::adapter_weights || kind == PathKind::weights_part;
}

NamedTensors open_tensors(const std::string& path) {
  check_path(path, Wanted::either);
  if (is_peft_adapter(path)) return of_weights(path + "/adapter_model.safetensors", "PEFT adapter");
  if (is_bare_tensors(path)) return of_weights(path, "safetensors");
  const bool is_file = file_exists(path) && !is_directory(path) && !path.ends_with(".gguf");
  if (is_file && !Hdf5File(path).has_attribute("/", "model_config")) return of_checkpoint(path);
  return of_model(path);
}

TensorStatistics statistics_of(const Tensor& t) {
  TensorStatistics s{.size = t.size()};
  const Tensor host = t.to(Device::cpu()).to(DType::f64);
  double square = 0;
  bool any = false;
  for (const double x : host.span<double>()) {
    if (std::isnan(x)) ++s.nan;
    else if (std::isinf(x)) ++s.infinite;
    else {
      s.least = any ? std::min(s.least, x) : x, s.most = any ? std::max(s.most, x) : x, any = true;
      s.zeros += x == 0, square += x * x;
    }
  }
  s.norm = std::sqrt(square);
  return s;
}

}  // namespace cambium
