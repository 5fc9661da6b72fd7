// Named tensors in files of others: what importers see of safetensors and GGUF alike.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"

namespace cambium {

class WeightFile {
 public:
  struct Entry {
    Shape shape;
    std::string type;  // as the file calls it: F32, BF16, Q4_1, ...
  };
  using Entries = std::map<std::string, Entry, std::less<>>;
  using Metadata = std::map<std::string, std::string, std::less<>>;

  virtual ~WeightFile() = default;

  const std::string& path() const { return path_; }
  // All files that it reads.
  virtual std::vector<std::string> files() const { return {path_}; }
  const Entries& entries() const { return entries_; }  // by name, sorted
  std::vector<std::string> names() const;
  bool has(std::string_view name) const { return entries_.contains(name); }
  const Entry& entry(std::string_view name) const;
  const Shape& shape(std::string_view name) const { return entry(name).shape; }

  // float32 or bfloat16 as they are, sharing the mapped file where they can; other floating-point
  // and quantised types as float32, integers as i32. Must not be written to.
  virtual Tensor read(std::string_view name) const = 0;

  // What the file says about itself, as text.
  const Metadata& metadata() const { return metadata_; }

 protected:
  explicit WeightFile(std::string path) : path_(std::move(path)) {}

  std::string path_;
  Entries entries_;
  Metadata metadata_;
};

// A safetensors or GGUF file, the index of a sharded set, or a directory that holds one of them.
// PyTorch's pickled files are refused: reading one runs code.
std::unique_ptr<WeightFile> open_weights(const std::string& path);

}  // namespace cambium
