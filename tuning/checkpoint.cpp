#include "tuning/checkpoint.h"

#include <algorithm>
#include <cmath>

#include "core/hdf5.h"
#include "core/machine.h"
#include "core/progress.h"
#include "models/load.h"

namespace cambium {
namespace {

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

Tensor on_cpu(const Tensor& t) { return t.to(Device::cpu()); }

void save_golden(Hdf5Writer& file, const Golden& golden) {
  file.group("/golden");
  for (size_t i = 0; i < golden.sequences.size(); ++i) {
    const Sequence& s = golden.sequences[i];
    const std::string path = "/golden/" + std::to_string(i);
    file.write(path + "/ids", Tensor::of(s.ids));
    if (!s.labels.empty()) file.write(path + "/labels", Tensor::of(s.labels));
    file.write(path + "/logits", golden.logits[i]);
  }
}

std::vector<int32_t> read_ids(const Hdf5File& file, const std::string& path) {
  const Tensor t = file.read(path);
  check_input(t.dtype() == DType::i32 && t.shape().rank() == 1 && t.size() <= 64, file.path(), ": ", path,
              " is no short list of ids");
  return {t.span<int32_t>().begin(), t.span<int32_t>().end()};
}

// The logits of the tokens of one sequence at a time.
std::vector<Tensor> exact_logits(Model& model, Tuner& tuner, const Batch& sequences) {
  std::vector<Tensor> all;
  for (const Sequence& s : sequences) {
    Pass pass(tuner);
    pass.exact = true;
    if (model.classifier) {
      all.push_back(on_cpu(model.classify(pass, {s})).to(DType::f32));
      continue;
    }
    const Model::Hidden h = model.hidden(pass, {s});
    const Tensor rows = h.rows.value.rows(h.begin[0], h.begin[0] + h.length[0]);
    all.push_back(on_cpu(model.head ? model.logits(pass, rows) : rows).to(DType::f32));
  }
  return all;
}

// A dataset that must have the shape of `like`, in its type and on its device.
void restore(const Hdf5File& file, const std::string& path, const Tensor& like) {
  check_input(file.is_dataset(path), file.path(), ": ", path, " is missing");
  const Shape shape = file.shape(path);
  check_input(shape == like.shape(), file.path(), ": ", path, " is ", shape, ", needed is ", like.shape());
  like.copy_from(file.read(path).to(like.dtype()).to(like.device()));
}

// How names and shapes of a file differ from those of parameters.
struct NameErrors {
  std::vector<std::string> extra, missing, misshaped;

  void check(const std::string& path) const {
    check_input(extra.empty() && missing.empty() && misshaped.empty(), path, ": ", extra.size(), " parameters too many",
                first_of(extra), "\n", missing.size(), " missing", first_of(missing), "\n", misshaped.size(),
                " of another shape", first_of(misshaped));
  }
};

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

}  // namespace

Golden compute_golden(Model& model, Tuner& tuner, const std::vector<Sequence>& examples) {
  Golden golden;
  for (const Sequence& example : examples) {
    if (golden.sequences.size() == 3) break;
    Sequence s = example;
    s.ids.resize(std::min<size_t>(s.ids.size(), 16));
    s.labels.resize(model.config().is_seq2seq() ? std::min<size_t>(s.labels.size(), 16) : 0);
    s.index = int64_t(golden.sequences.size());
    golden.sequences.push_back(std::move(s));
  }
  golden.logits = exact_logits(model, tuner, golden.sequences);
  return golden;
}

double golden_difference(Model& model, Tuner& tuner, const Golden& golden) {
  model.check(golden.sequences);
  const std::vector<Tensor> now = exact_logits(model, tuner, golden.sequences);
  double worst = 0;
  for (size_t i = 0; i < now.size(); ++i) {
    check_input(now[i].shape() == golden.logits[i].shape(), "golden logits ", i, ": ", golden.logits[i].shape(),
                " stored, ", now[i].shape(), " computed");
    for (int64_t k = 0; k < now[i].size(); ++k) {
      const double difference = std::abs(double(now[i].data<float>()[k]) - double(golden.logits[i].data<float>()[k]));
      if (std::isnan(difference)) return difference;
      worst = std::max(worst, difference);
    }
  }
  return worst;
}

void save_checkpoint(const std::string& path, Tuner& tuner, const TrainedSet& trained, const Optimizer* optimizer,
                     const TrainingState& state, const BaseIdentity& base, const Golden& golden) {
  Hdf5Writer file(path);
  for (const char* group : {"/tuner", "/base", "/state"}) file.group(group);
  for (const TrainedSet::Entry& e : trained.entries())
    file.write(path_in(e.of_base ? "/base" : "/tuner", e.name), on_cpu(e.value));
  if (optimizer) {
    file.group("/optimizer");  // SGD has nothing in it
    for (const auto& [name, tensor] : optimizer->state()) file.write(path_in("/optimizer", name), on_cpu(tensor));
  }
  save_golden(file, golden);

  file.attribute("/", "format_version", kCheckpointVersion);
  file.attribute("/", "software_version", software_version());
  file.attribute("/", "method", tuner.method());
  std::vector<std::string> options;
  for (const auto& [name, value] : tuner.options()) options.push_back(name + "=" + value);
  file.attribute("/", "options", options);
  file.attribute("/", "effective_scale", tuner.effective_scale());
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

CheckpointInfo read_checkpoint_info(const std::string& path) {
  const Hdf5File file(path);
  const auto word = [&](const char* group, const char* name) { return file.attribute<std::string>(group, name); };
  CheckpointInfo info{.path = path};
  check_input(file.has_attribute("/", "format_version") && file.has_attribute("/", "method"), path,
              " is an HDF5 file, but no checkpoint of a tuner");
  info.format_version = file.attribute<int64_t>("/", "format_version");
  check_input(info.format_version == kCheckpointVersion, path, ": format version ", info.format_version,
              "; this program reads ", kCheckpointVersion);
  info.software_version = word("/", "software_version");
  info.method = word("/", "method");
  for (const std::string& option : file.attribute<std::vector<std::string>>("/", "options")) {
    const size_t equals = option.find('=');
    check_input(equals != option.npos, path, ": the option \"", option, "\" has no value");
    info.options[option.substr(0, equals)] = option.substr(equals + 1);
  }
  info.effective_scale = file.attribute<double>("/", "effective_scale");
  info.base = {word("/", "base_source"), word("/", "base_hash"), word("/", "base_config"), word("/", "base_dtype")};
  info.state.step = file.attribute<int64_t>("/state", "step");
  info.state.steps = file.attribute<int64_t>("/state", "steps");
  info.state.shards = file.attribute<int64_t>("/state", "shards");
  info.state.seed = std::strtoull(word("/state", "seed").c_str(), nullptr, 10);
  info.state.run_config = word("/state", "run_config");
  info.state.instruction_set = word("/state", "instruction_set");
  if (file.has_attribute("/state", "best_dev")) info.state.best_dev = file.attribute<double>("/state", "best_dev");
  info.tuner = shapes_below(file, "/tuner");
  info.trained_base = shapes_below(file, "/base");
  info.has_optimizer = file.is_group("/optimizer");
  return info;
}

Golden read_golden(const std::string& path) {
  const Hdf5File file(path);
  Golden golden;
  if (!file.is_group("/golden")) return golden;
  for (const std::string& name : file.list("/golden")) {
    const std::string group = "/golden/" + name;
    Sequence s;
    s.ids = read_ids(file, group + "/ids");
    if (file.is_dataset(group + "/labels")) s.labels = read_ids(file, group + "/labels");
    s.index = int64_t(golden.sequences.size());
    golden.sequences.push_back(std::move(s));
    golden.logits.push_back(file.read(group + "/logits").to(DType::f32));
  }
  return golden;
}

std::unique_ptr<Tuner> load_tuner(const std::string& path, Model& model, const BaseIdentity& base, bool any_base) {
  const CheckpointInfo info = read_checkpoint_info(path);
  std::string other;
  if (!info.base.hash.empty() && !base.hash.empty() && info.base.hash != base.hash)
    other = text(path, " was trained on another base (", info.base.source, ", hash ", info.base.hash.substr(0, 12),
                 "; this one has ", base.hash.substr(0, 12), ")");
  check_input(any_base || other.empty(), other, ". --force-base uses it all the same");
  if (const auto head = info.trained_base.find("classifier.output.weight");
      head != info.trained_base.end() && !model.classifier)
    model.add_classifier(head->second.rank() == 2 ? head->second[0] : 0, 0);
  auto tuner = make_tuner(info.method, info.options, {.model = model, .seed = info.state.seed, .initialize = false});
  NameErrors errors;
  const std::vector<NamedParameter> own = tuner->parameters(), all = model.parameters();
  compare_names(own, info.tuner, true, errors);
  compare_names(all, info.trained_base, false, errors);
  errors.check(path);
  const Hdf5File file(path);
  for (const NamedParameter& p : own) restore(file, path_in("/tuner", p.name), p.value());
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
  for (const TrainedSet::Entry& e : trained.entries())
    restore(file, path_in(e.of_base ? "/base" : "/tuner", e.name), e.value);
  for (const auto& [name, tensor] : optimizer.state()) restore(file, path_in("/optimizer", name), tensor);
  trained.refresh_working();
}

}  // namespace cambium
