// Models from files: Hugging Face directories, GGUF files and our own HDF5.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/files/weights.h"
#include "models/import/names.h"
#include "models/model.h"

namespace cambium {

// Where a model's numbers come from. Opening reads headers and configuration only.
class ModelSource {
 public:
  // A directory, a .gguf or .h5 file, or a known name (models/fetch.h has the rule). Throws InputError.
  static std::unique_ptr<ModelSource> open(const std::string& model);
  virtual ~ModelSource() = default;

  const std::string& path() const { return path_; }
  const ModelConfig& config() const { return config_; }

  // The source values of one of our parameters in float32, [rows, ..] as the model has it.
  virtual Tensor read(const std::string& name) const = 0;
  // What transformers calls a parameter, where its array is ours element for element; else empty.
  virtual std::string foreign_name(const std::string& name) const = 0;

  // SHA-256, in hexadecimal, over name, shape and float32 source values of all parameters in the order of their names:
  // neither format nor precision changes it. Kept in the cache directory, because it reads everything.
  std::string hash() const;

 protected:
  ModelSource(std::string path, ModelConfig config) : path_(std::move(path)), config_(std::move(config)) {}
  virtual std::vector<std::string> files() const = 0;

  std::string path_;
  ModelConfig config_;
};

// The model with all its numbers. Strict: names that the file has too many, lacks, or has in another shape are listed,
// in that order, and nothing is loaded. `weights`: the type of products' matrices.
std::unique_ptr<Model> load_model(const ModelSource&, DType weights, Device = Device::cpu());

// Lists of names in errors are cut to the first three unless this is set.
void list_all_names(bool all);
// Such a list behind a count: ": a, b, c and 4 more", or nothing.
std::string first_of(const std::vector<std::string>& names);

}  // namespace cambium
