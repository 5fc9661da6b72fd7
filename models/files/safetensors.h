// Safetensors: 8 bytes length, a JSON header with names, types, shapes and places, then the
// numbers. (https://github.com/huggingface/safetensors, "Format")
#pragma once

#include "core/files.h"
#include "models/files/weights.h"

namespace cambium {

// One file, or all shards that a model.safetensors.index.json names. Types F32, BF16, F16, F64,
// I32, I64 can be read; others may be there. The header must describe every byte of the file
// exactly once.
class SafetensorsFile : public WeightFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  Tensor read(std::string_view name) const override;
  std::vector<std::string> files() const override;

 private:
  struct Place {
    size_t shard;
    int64_t offset;
  };
  void add_shard(const std::string& path);
  void read_header(std::string_view header, size_t shard);
  void add_index(const std::string& path);

  std::vector<MappedFile> shards_;
  std::map<std::string, Place, std::less<>> places_;
};

// Writes f32, f64, bf16 and i32 tensors, whole or not at all. The same tensors give the same bytes.
void write_safetensors(const std::string& path, const std::map<std::string, Tensor>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace cambium
