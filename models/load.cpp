#include "models/load.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "core/environment.h"
#include "core/files.h"
#include "core/hdf5.h"
#include "core/path_kind.h"
#include "core/places.h"
#include "core/printable.h"
#include "core/progress.h"
#include "core/sha256.h"
#include "models/import/config.h"
#include "models/import/notes.h"

namespace cambium {
namespace {

bool list_all = false;

struct ShapeOf {
  std::string name;
  Shape shape;
};

// Names and shapes of a model's parameters; takes no memory for their values.
std::vector<ShapeOf> shapes_of(const ModelConfig& config) {
  Model model(config, DType::f32, Device::cpu(), Model::Storage::none);
  std::vector<ShapeOf> all;
  for (const NamedParameter& p : model.parameters()) all.push_back({p.name, p.value().shape()});
  return all;
}

Shape without_leading_ones(const Shape& shape) {
  const int64_t* first = shape.begin();
  while (first + 1 < shape.end() && *first == 1) ++first;
  return Shape(std::span(first, shape.end()));
}

// Row 2 i + half of a head is row half * size / 2 + i of ours.
Tensor unpermuted(const Tensor& x, int64_t heads) {
  Tensor y = Tensor::like(x);
  const int64_t size = x.shape()[0] / heads, half = size / 2;
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < half; ++i)
      for (int64_t part = 0; part < 2; ++part) {
        const int64_t to = h * size + part * half + i, from = h * size + 2 * i + part;
        y.rows(to, to + 1).copy_from(x.rows(from, from + 1));
      }
  return y;
}

// A Hugging Face directory or a GGUF file.
class ForeignSource : public ModelSource {
 public:
  ForeignSource(std::string path, ModelConfig config, std::unique_ptr<WeightFile> weights,
                const std::vector<NameRule>& rules, bool is_gguf)
      : ModelSource(std::move(path), std::move(config)), weights_(std::move(weights)) {
    std::vector<std::string> extra, missing, misshaped;
    std::map<std::string, bool> used;
    for (const NameRule& rule : rules) {
      const std::vector<std::string> names = names_of(rule);
      const auto found =
          std::find_if(names.begin(), names.end(), [&](const std::string& n) { return weights_->has(n); });
      if (found == names.end() && rule.optional) continue;
      if (found == names.end()) missing.push_back(rule.foreign);
      else places_[rule.ours] = {rule, *found, {}}, used[*found] = true;
    }
    for (const std::string& name : weights_->names())
      if (!used.count(name) && !is_ignored(config_, name)) extra.push_back(name);
    if (!is_gguf)
      if (const auto beside = take_beside(config_, extra); !beside.empty())
        note_once(
            text("note: ", path_, ": ", beside.size(), " tensors beside the model are not used", first_of(beside)));
    if (missing.empty())
      for (const ShapeOf& s : shapes_of(config_)) {
        if (!places_.count(s.name)) continue;  // optional
        Place& place = places_.at(s.name);
        place.shape = s.shape;
        const Shape there = without_leading_ones(weights_->shape(place.name));
        const bool turned = place.rule.relayout == Relayout::transpose;
        const Shape needed =
            without_leading_ones(turned && s.shape.rank() == 2 ? Shape{s.shape[1], s.shape[0]} : s.shape);
        if (!(there == needed)) misshaped.push_back(text(place.name, " ", there, " instead of ", needed));
      }
    check_input(extra.empty() && missing.empty() && misshaped.empty(), path_,
                ": the weights do not fit the configuration (", config_.family, "): ", extra.size(), " names too many",
                first_of(extra), "\n", missing.size(), " missing", first_of(missing), "\n", misshaped.size(),
                " of another shape", first_of(misshaped));
  }

  Tensor read(const std::string& name) const override {
    if (!places_.count(name)) return zeros(name);
    const Place& place = places_.at(name);
    Tensor t = weights_->read(place.name).to(DType::f32);
    if (place.rule.relayout == Relayout::transpose && t.shape().rank() == 2) return transposed(t);
    if (place.rule.relayout == Relayout::unpermute_rows) return unpermuted(t, place.rule.heads);
    return t.reshape(place.shape);
  }
  std::string foreign_name(const std::string& name) const override {
    const auto found =
        std::find_if(huggingface_.begin(), huggingface_.end(), [&](const NameRule& r) { return r.ours == name; });
    return found == huggingface_.end() || found->relayout != Relayout::same ? "" : found->foreign;
  }
  std::vector<std::string> files() const override { return weights_->files(); }

 private:
  struct Place {
    NameRule rule;
    std::string name;  // in the file
    Shape shape;       // of ours
  };
  // The names of a parameter, the one that counts first.
  std::vector<std::string> names_of(const NameRule& rule) const {
    std::vector<std::string> names = spellings(config_.family, rule.foreign);
    // transformers computes with the bias of its decoder, which is tied to the other where they are equal.
    std::stable_partition(names.begin(), names.end(),
                          [](const std::string& n) { return n.ends_with(".decoder.bias"); });
    // A tied table may be there as the head alone.
    if (rule.ours == "embedding.weight" && config_.tied_head) {
      ModelConfig untied = config_;
      untied.tied_head = false;
      for (const NameRule& other : huggingface_names(untied))
        if (other.ours == "head.weight") names.push_back(other.foreign);
    }
    return names;
  }
  // What files may leave out is zero.
  Tensor zeros(const std::string& name) const {
    for (const ShapeOf& s : shapes_of(config_))
      if (s.name == name) return Tensor::zeros(s.shape, DType::f32);
    throw Error(text(path_, ": there is no parameter ", name));
  }
  std::unique_ptr<WeightFile> weights_;
  std::map<std::string, Place> places_;
  std::vector<NameRule> huggingface_ = huggingface_names(config_);
};

std::string dataset_of(std::string name) {
  std::replace(name.begin(), name.end(), '.', '/');
  return "/parameters/" + name;
}

// Our own form.
class Hdf5Source : public ModelSource {
 public:
  explicit Hdf5Source(const std::string& path) : ModelSource(path, {}), file_(path) {
    check_path(file_, Wanted::model);
    check_input(file_.has_attribute("/", "model_config"), path, " is an HDF5 file, but no model");
    config_ = config_from_json(file_.attribute<std::string>("/", "model_config"), path);
    huggingface_ = huggingface_names(config_);
    std::vector<std::string> missing, misshaped;
    std::vector<std::string> extra =
        file_.is_group("/parameters") ? file_.datasets("/parameters") : std::vector<std::string>();
    for (const ShapeOf& s : shapes_of(config_)) {
      const std::string place = dataset_of(s.name);
      std::erase(extra, place);
      if (!file_.is_dataset(place)) missing.push_back(s.name);
      else if (!(file_.shape(place) == s.shape))
        misshaped.push_back(text(s.name, " ", file_.shape(place), " instead of ", s.shape));
    }
    check_input(extra.empty() && missing.empty() && misshaped.empty(), path,
                ": the weights do not fit the configuration: ", extra.size(), " names too many", first_of(extra), "\n",
                missing.size(), " missing", first_of(missing), "\n", misshaped.size(), " of another shape",
                first_of(misshaped));
  }
  Tensor read(const std::string& name) const override { return file_.read(dataset_of(name)).to(DType::f32); }
  std::string foreign_name(const std::string& name) const override {
    const auto found =
        std::find_if(huggingface_.begin(), huggingface_.end(), [&](const NameRule& r) { return r.ours == name; });
    return found == huggingface_.end() || found->relayout != Relayout::same ? "" : found->foreign;
  }
  std::vector<std::string> files() const override { return {path_}; }

 private:
  Hdf5File file_;
  std::vector<NameRule> huggingface_;
};

}  // namespace

void list_all_names(bool all) { list_all = all; }

std::string first_of(const std::vector<std::string>& names) {
  const size_t shown = list_all ? names.size() : std::min<size_t>(3, names.size());
  std::string list;
  for (size_t i = 0; i < shown; ++i) list += (i ? ", " : ": ") + in_one_line(names[i]);
  if (shown < names.size()) list += text(" and ", names.size() - shown, " more");
  return list;
}

std::unique_ptr<ModelSource> ModelSource::open(const std::string& path) {
  if (path.ends_with(".h5")) return std::make_unique<Hdf5Source>(path);
  auto weights = open_weights(path);
  if (const auto* gguf = dynamic_cast<const GgufFile*>(weights.get())) {
    const ModelConfig config = read_gguf_config(*gguf);
    return std::make_unique<ForeignSource>(path, config, std::move(weights), gguf_names(config), true);
  }
  check_input(is_directory(path), path, ": weights alone are no model; give the directory with its config.json");
  const ModelConfig config = read_huggingface_config(path, *weights);
  return std::make_unique<ForeignSource>(path, config, std::move(weights), huggingface_names(config), false);
}

std::string ModelSource::hash() const {
  // Remembered by the files' places, sizes and times, and by what the configuration makes of them.
  Sha256 identity;
  identity.update(to_json(config_));
  for (const std::string& file : files()) {
    struct stat info = {};
    char* real = ::realpath(file.c_str(), nullptr);
    identity.update(real ? real : file);
    std::free(real);
    if (::stat(file.c_str(), &info) == 0)
      identity.update(
          text("|", info.st_size, "|", info.st_mtim.tv_sec, "|", info.st_mtim.tv_nsec, "|", info.st_ino, "|"));
  }
  // Only what nobody else can have written is believed; without a directory of the user's own nothing is kept.
  const auto home = find_cambium_home();
  const std::string folder = home ? *home + "/hashes" : "", memory = folder + "/" + hex(identity.finish());
  if (home && is_private(folder) && is_private(memory))
    if (const std::string known = read_text_file(memory, 4096); known.size() == 64) return known;

  Sha256 sum;
  for (const ShapeOf& s : shapes_of(config_)) {
    const Tensor values = read(s.name).to(DType::f32);
    sum.update(text(s.name, " ", s.shape, "\n"));
    sum.update(values.raw(), size_t(values.bytes()));
  }
  const std::string hash = hex(sum.finish());
  try {  // a cache that cannot be written costs time, no more
    if (home) make_directories(folder), write_file(memory, hash);
  } catch (const Error&) {
  }
  return hash;
}

std::unique_ptr<Model> load_model(const ModelSource& source, DType weights, Device device) {
  auto model = std::make_unique<Model>(source.config(), weights, device);
  for (const NamedParameter& p : model->parameters()) {
    const Tensor value = p.value();
    value.copy_from(source.read(p.name).to(value.dtype()).to(device));
  }
  return model;
}

}  // namespace cambium
