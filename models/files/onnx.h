// Weights of ONNX graphs that were quantised dynamically to 8 bits, one scale a tensor.
// (onnx/onnx.proto3; "MatMulInteger" and "DynamicQuantizeLinear" in onnx/docs/Operators.md)
#pragma once

#include <map>
#include <string>

#include "core/files.h"
#include "models/files/weights.h"

namespace cambium {

// Initializers NAME of float32, and NAME_quantized, NAME_scale, NAME_zero_point as NAME = (q - zero
// point) scale. The second input of a MatMulInteger node goes by the node's name, and transposed:
// [out, in] as linear layers have it. Read as float32. Initializers of other kinds are passed over.
class OnnxFile : public WeightFile {
 public:
  explicit OnnxFile(const std::string& path);
  Tensor read(std::string_view name) const override;

 private:
  struct Initializer {
    Shape shape;
    int type = 0;           // ONNX's number: 1 float, 2 uint8, 3 int8
    std::string_view data;  // in the mapped file; empty for a single value stored as a field
    float single = 0;
  };
  struct Place {
    std::string data, scale,
        zero_point;  // names of initializers; the last two empty for plain float32
    bool transposed;
  };
  void read_graph(std::string_view graph);
  void read_initializer(std::string_view tensor);
  std::string read_node(std::string_view node);
  void add(const std::string& name, const Place&);
  const Initializer& initializer(const std::string& name) const;
  float single(const std::string& name) const;

  MappedFile file_;
  std::map<std::string, Initializer> initializers_;
  std::map<std::string, Place, std::less<>> places_;
};

// Turns the two graphs of an exported T5 1.1, encoder.onnx and decoder.onnx, into a Hugging Face
// directory: config.json, model.safetensors in float32, tokenizer.json.
void convert_t5_graphs(const std::string& from, const std::string& to);

}  // namespace cambium
