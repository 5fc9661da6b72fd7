#include "tuning/checkpoint.h"

#include <algorithm>

#include "core/hdf5.h"
#include "core/machine.h"
#include "core/path_kind.h"
#include "core/progress.h"
#include "models/load.h"
#include "tuning/methods.h"
#include "tuning/name_errors.h"

namespace cambium {
namespace {

constexpr const char* kMissed = "/state/missed_steps";

std::string path_in(const std::string& group, std::string name) {
  std::replace(name.begin(), name.end(), '.', '/');
  return group + "/" + name;
}

std::string name_in(const std::string& group, std::string path) {
  path.erase(0, group.size() + 1);
  std::replace(path.begin(), path.end(), '/', '.');
  return path;
}

std::map<std::string, Shape> shapes_below(const Hdf5File& file, const std::string& group) {
  std::map<std::string, Shape> shapes;
  if (!file.is_group(group)) return shapes;
  for (const std::string& path : file.datasets(group)) shapes[name_in(group, path)] = file.shape(path);
  return shapes;
}

// The group of tuner `number` in a file of this version.
std::string tuner_group(int64_t version, size_t number) {
  return version == 1 ? "/tuner" : "/tuner/" + std::to_string(number);
}

OptionMap options_of(const Hdf5File& file, const std::string& group) {
  OptionMap options;
  for (const std::string& option : file.attribute<std::vector<std::string>>(group, "options")) {
    const size_t equals = option.find('=');
    check_input(equals != option.npos, file.path(), ": the option \"", option, "\" has no value");
    options[option.substr(0, equals)] = option.substr(equals + 1);
  }
  return options;
}

std::vector<StoredTuner> read_tuners(const Hdf5File& file, int64_t version) {
  std::vector<StoredTuner> all;
  const size_t count = version == 1 ? 1 : file.is_group("/tuner") ? file.list("/tuner").size() : 0;
  check_input(count > 0, file.path(), " is a checkpoint without a tuner");
  for (size_t i = 0; i < count; ++i) {
    const std::string group = tuner_group(version, i), attributes = version == 1 ? "/" : group;
    check_input(file.is_group(group), file.path(), ": ", group, " is missing");
    all.push_back({.method = file.attribute<std::string>(attributes, "method"),
                   .options = options_of(file, attributes),
                   .effective_scale = file.attribute<double>(attributes, "effective_scale"),
                   .group = group,
                   .parameters = shapes_below(file, group)});
    // Files from before the option: such adapters read the sublayer's output.
    OptionMap& options = all.back().options;
    if (all.back().method == "adapter" && options["kind"] == "pfeiffer") options.try_emplace("reads", "output");
  }
  return all;
}

Tensor on_cpu(const Tensor& t) { return t.to(Device::cpu()); }

// A dataset that must have the shape of `like`, in its type and on its device.
void restore(const Hdf5File& file, const std::string& path, const Tensor& like) {
  check_input(file.is_dataset(path), file.path(), ": ", path, " is missing");
  const Shape shape = file.shape(path);
  check_input(shape == like.shape(), file.path(), ": ", path, " is ", shape, ", needed is ", like.shape());
  like.copy_from(file.read(path).to(like.dtype()).to(like.device()));
}

void compare_names(const std::vector<NamedParameter>& parameters, std::map<std::string, Shape> stored, bool all_needed,
                   NameErrors& errors) {
  for (const NamedParameter& p : parameters) {
    const auto found = stored.find(p.name);
    if (found == stored.end()) {
      if (all_needed) errors.missing.push_back(p.name);
      continue;
    }
    const Shape needed = p.value().shape();
    if (!(found->second == needed))
      errors.misshaped.push_back(text(p.name, " ", found->second, " instead of ", needed));
    stored.erase(found);
  }
  for (const auto& [name, _] : stored) errors.extra.push_back(name);
}

CheckpointInfo info_of(const Hdf5File& file) {
  const std::string& path = file.path();
  const auto word = [&](const char* group, const char* name) { return file.attribute<std::string>(group, name); };
  CheckpointInfo info{.path = path};
  check_path(file, Wanted::tuner);
  check_input(file.has_attribute("/", "format_version") && file.has_attribute("/", "base_hash"), path,
              " is an HDF5 file, but no checkpoint of a tuner");
  info.format_version = file.attribute<int64_t>("/", "format_version");
  check_input(info.format_version >= 1 && info.format_version <= kCheckpointVersion, path, ": format version ",
              info.format_version, "; this program reads versions 1 to ", kCheckpointVersion);
  info.software_version = word("/", "software_version");
  info.tuners = read_tuners(file, info.format_version);
  info.base = {word("/", "base_source"), word("/", "base_hash"), word("/", "base_config"), word("/", "base_dtype")};
  info.state.step = file.attribute<int64_t>("/state", "step");
  info.state.steps = file.attribute<int64_t>("/state", "steps");
  info.state.shards = file.attribute<int64_t>("/state", "shards");
  info.state.seed = std::strtoull(word("/state", "seed").c_str(), nullptr, 10);
  info.state.run_config = word("/state", "run_config");
  info.state.instruction_set = word("/state", "instruction_set");
  if (file.has_attribute("/state", "best_dev")) info.state.best_dev = file.attribute<double>("/state", "best_dev");
  info.trained_base = shapes_below(file, "/base");
  info.has_optimizer = file.is_group("/optimizer");
  return info;
}

}  // namespace

void save_checkpoint(const std::string& path, Tuner& tuner, const TrainedSet& trained, const Optimizer* optimizer,
                     const TrainingState& state, const BaseIdentity& base, const Golden& golden) {
  Hdf5Writer file(path);
  const std::string group = tuner_group(kCheckpointVersion, 0);
  for (const std::string& name : {group, std::string("/base"), std::string("/state")}) file.group(name);
  for (const TrainedSet::Entry& e : trained.entries())
    file.write(path_in(e.of_base ? "/base" : group, e.name), on_cpu(e.value));
  if (optimizer) {
    file.group("/optimizer");  // SGD has nothing in it
    for (const auto& [name, tensor] : optimizer->state()) file.write(path_in("/optimizer", name), on_cpu(tensor));
    const std::vector<int64_t>& missed = optimizer->missed;
    if (std::any_of(missed.begin(), missed.end(), [](int64_t steps) { return steps > 0; }))
      file.write(kMissed, Tensor::of(std::vector<double>(missed.begin(), missed.end())));
  }
  save_golden(file, golden);

  file.attribute("/", "format_version", kCheckpointVersion);
  file.attribute("/", "software_version", software_version());
  std::vector<std::string> options;
  for (const auto& [name, value] : tuner.options()) options.push_back(name + "=" + value);
  file.attribute(group, "method", tuner.method());
  file.attribute(group, "options", options);
  file.attribute(group, "effective_scale", tuner.effective_scale());
  file.attribute("/", "base_source", base.source);
  file.attribute("/", "base_hash", base.hash);
  file.attribute("/", "base_config", base.config);
  file.attribute("/", "base_dtype", base.dtype);
  file.attribute("/state", "step", state.step);
  file.attribute("/state", "steps", state.steps);
  file.attribute("/state", "shards", state.shards);
  file.attribute("/state", "seed", std::to_string(state.seed));
  file.attribute("/state", "run_config", state.run_config);
  file.attribute("/state", "instruction_set", state.instruction_set);
  if (state.best_dev) file.attribute("/state", "best_dev", *state.best_dev);
  file.commit();
}

CheckpointInfo read_checkpoint_info(const std::string& path) { return info_of(Hdf5File(path)); }

const StoredTuner& CheckpointInfo::tuner() const {
  check_input(tuners.size() == 1, path, " holds ", tuners.size(), " tuners; this needs a file of one");
  return tuners.front();
}

Golden read_golden(const std::string& path) { return read_golden(Hdf5File(path)); }

Tensor read_tuner_parameter(const std::string& path, const std::string& name) {
  const Hdf5File file(path);
  const std::string place = path_in(info_of(file).tuner().group, name);
  check_input(file.is_dataset(place), path, ": ", place, " is missing");
  return file.read(place);
}

std::unique_ptr<Tuner> load_tuner(const std::string& path, Model& model, const BaseIdentity& base, bool any_base) {
  const Hdf5File file(path);
  const CheckpointInfo info = info_of(file);
  std::string other;
  if (!info.base.hash.empty() && !base.hash.empty() && info.base.hash != base.hash)
    other = text(path, " was trained on another base (", info.base.source, ", hash ", info.base.hash.substr(0, 12),
                 "; this one has ", base.hash.substr(0, 12), ")");
  check_input(any_base || other.empty(), other, ". --force-base uses it all the same");
  if (const auto head = info.trained_base.find("classifier.output.weight");
      head != info.trained_base.end() && !model.classifier)
    model.add_classifier(head->second.rank() == 2 ? head->second[0] : 0, 0);
  const StoredTuner& stored = info.tuner();
  auto tuner =
      make_tuner(stored.method, stored.options, {.model = model, .seed = info.state.seed, .initialize = false});
  NameErrors errors;
  const std::vector<NamedParameter> own = tuner->parameters(), all = model.parameters();
  compare_names(own, stored.parameters, true, errors);
  compare_names(all, info.trained_base, false, errors);
  errors.check(path, "parameters");
  for (const NamedParameter& p : own) restore(file, path_in(stored.group, p.name), p.value());
  for (const NamedParameter& p : all)
    if (info.trained_base.count(p.name)) restore(file, path_in("/base", p.name), p.value());
  if (!other.empty()) Progress::say("warning: " + other);
  return tuner;
}

std::function<Tensor(const std::string&)> trained_base(const std::string& path) {
  return [file = std::make_shared<const Hdf5File>(path)](const std::string& name) {
    const std::string place = path_in("/base", name);
    return file->is_dataset(place) ? file->read(place).to(DType::f32) : Tensor();
  };
}

void load_training_state(const std::string& path, const TrainedSet& trained, Optimizer& optimizer) {
  const Hdf5File file(path);
  const std::string group = info_of(file).tuner().group;
  for (const TrainedSet::Entry& e : trained.entries())
    restore(file, path_in(e.of_base ? "/base" : group, e.name), e.value);
  for (const auto& [name, tensor] : optimizer.state()) restore(file, path_in("/optimizer", name), tensor);
  if (file.is_dataset(kMissed)) {
    const Tensor missed = Tensor::zeros({int64_t(optimizer.missed.size())}, DType::f64);
    restore(file, kMissed, missed);
    optimizer.missed.assign(missed.data<double>(), missed.data<double>() + missed.size());
  }
  trained.refresh_working();
}

}  // namespace cambium
