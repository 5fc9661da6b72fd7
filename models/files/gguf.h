// GGUF files, versions 2 and 3: metadata (configuration and tokenizer) and tensors, plain or
// quantised. (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)
#pragma once

#include "models/files/gguf_values.h"
#include "models/files/weights.h"

namespace cambium {

bool is_gguf(const std::string& path);

// Tensors of types F32, F16, BF16, Q8_0, Q4_0 and Q4_1; a file with others is refused. Shapes are
// row-major: GGUF's dimensions reversed. Quantised values come as float32, bit for bit what ggml
// computes:
//   blocks of 32 values along the last dimension, d and m half precision, q the integers of the
//   block Q8_0: q d    Q4_0: (q - 8) d    Q4_1: q d + m
// A file in parts (split.count; NAME-00001-of-00003.gguf) is read whole, whichever part is named.
class GgufFile : public WeightFile {
 public:
  explicit GgufFile(const std::string& path);
  Tensor read(std::string_view name) const override;
  std::vector<std::string> files() const override;

  // Configuration and tokenizer; `metadata()` of the base class has it printed.
  const GgufValues& values() const { return values_; }

 private:
  struct TensorType;
  static const TensorType* tensor_type(uint32_t id);
  void read_tensor(GgufCursor&);
  void place_tensors(const GgufCursor& data);
  void add_parts();
  struct Part {};
  GgufFile(const std::string& path, Part);  // one part by itself

  MappedFile file_;
  GgufValues values_;
  struct Place {
    const TensorType* type;
    size_t offset, bytes;
  };
  std::map<std::string, Place, std::less<>> places_;
  std::vector<std::unique_ptr<GgufFile>> parts_;  // the others of a file in parts
};

// The first part of the file in parts that `path` is one of, by its name; else the path itself.
std::string first_gguf_part(const std::string& path);

}  // namespace cambium
