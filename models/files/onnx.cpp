// Weights of ONNX graphs. Of the protocol-buffer format we need only to walk over fields.
#include "models/files/onnx.h"

#include <algorithm>
#include <cstring>

namespace cambium {
namespace {

enum Type { kFloat = 1, kUint8 = 2, kInt8 = 3 };

// The fields of one message, first to last.
class Fields {
 public:
  Fields(std::string_view bytes, const std::string& path) : left_(bytes), path_(path) {}

  // Goes to the next field; false at the end.
  bool next() {
    if (left_.empty()) return false;
    const uint64_t key = take_varint();
    number_ = int(key >> 3 & 0xffff);
    value_ = 0, bytes_ = {};
    switch (key & 7) {
      case 0: value_ = take_varint(); break;
      case 1: bytes_ = take(8); break;
      case 2: bytes_ = take(take_varint()); break;
      case 5: bytes_ = take(4); break;
      default: fail();
    }
    return true;
  }
  int number() const { return number_; }
  uint64_t value() const { return value_; }
  std::string_view bytes() const { return bytes_; }

  // Numbers of a repeated field: one here, or several packed.
  template <class F>
  void integers(const F& each) const {
    if (bytes_.empty()) return each(int64_t(value_));
    for (Fields packed(bytes_, path_); !packed.left_.empty();) each(int64_t(packed.take_varint()));
  }

 private:
  uint64_t take_varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const uint64_t byte = uint8_t(take(1)[0]);
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    fail();
  }
  std::string_view take(uint64_t count) {
    if (count > left_.size()) fail();
    const std::string_view out = left_.substr(0, size_t(count));
    left_.remove_prefix(size_t(count));
    return out;
  }
  [[noreturn]] void fail() const { throw InputError(path_ + ": is not an ONNX file, or is damaged"); }

  std::string_view left_;
  const std::string& path_;
  int number_ = 0;
  uint64_t value_ = 0;
  std::string_view bytes_;
};

// NAME of NAME_quantized, else nothing.
std::string_view quantized_name(std::string_view name) {
  constexpr std::string_view end = "_quantized";
  return name.ends_with(end) ? name.substr(0, name.size() - end.size()) : std::string_view();
}

}  // namespace

OnnxFile::OnnxFile(const std::string& path) : WeightFile(path), file_(path) {
  const std::string_view model(reinterpret_cast<const char*>(file_.data()), file_.size());
  bool found = false;
  for (Fields f(model, path_); f.next();)
    if (f.number() == 7) read_graph(f.bytes()), found = true;
  check_input(found, path, ": is not an ONNX file: it has no graph");
}

// Graph: 1 node, 5 initializer. Names are given once all initializers are known.
void OnnxFile::read_graph(std::string_view graph) {
  for (Fields f(graph, path_); f.next();)
    if (f.number() == 5) read_initializer(f.bytes());
  std::map<std::string, bool> multiplied;
  for (Fields f(graph, path_); f.next();)
    if (f.number() == 1) multiplied[read_node(f.bytes())] = true;
  for (const auto& [name, i] : initializers_) {
    const std::string base(quantized_name(name));
    if (i.type == kFloat && !i.data.empty()) add(name, {name, "", "", false});
    else if (!base.empty() && !multiplied.contains(name))
      add(base, {name, base + "_scale", base + "_zero_point", false});
  }
}

// Tensor: 1 dims, 2 type, 4 floats, 5 small integers, 8 name, 9 raw data, 14 where the data are.
void OnnxFile::read_initializer(std::string_view tensor) {
  Initializer out;
  std::string name;
  std::vector<int64_t> dims;
  bool outside = false;
  for (Fields f(tensor, path_); f.next();) {
    if (f.number() == 1) f.integers([&](int64_t d) { dims.push_back(d); });
    else if (f.number() == 2) out.type = int(f.value());
    else if (f.number() == 4 && f.bytes().size() == 4) std::memcpy(&out.single, f.bytes().data(), 4);
    else if (f.number() == 5) f.integers([&](int64_t v) { out.single = float(v); });
    else if (f.number() == 8) name = f.bytes();
    else if (f.number() == 9) out.data = f.bytes();
    else if (f.number() == 14) outside = f.value() != 0;
    check_input(dims.size() <= size_t(Shape::kMaxRank), path_, ": \"", name, "\" has more than ", Shape::kMaxRank,
                " dimensions");
  }
  if (out.type != kFloat && out.type != kUint8 && out.type != kInt8) return;
  check_input(!outside, path_, ": the data of \"", name, "\" lie in another file, which is not supported");
  int64_t size = 1;
  for (const int64_t d : dims)
    check_input(d >= 0 && d < int64_t(1) << 40 && !__builtin_mul_overflow(size, std::max<int64_t>(d, 1), &size) &&
                    size < int64_t(1) << 50,
                path_, ": \"", name, "\" has an impossible size");
  out.shape = Shape(dims);
  const int64_t bytes = out.shape.size() * (out.type == kFloat ? 4 : 1);
  check_input(out.data.empty() ? out.shape.size() <= 1 : int64_t(out.data.size()) == bytes, path_, ": \"", name,
              "\" of shape ", out.shape, " has ", out.data.size(), " bytes");
  if (!out.data.empty() && out.shape.size() == 1 && out.type != kFloat) {
    out.single = out.type == kInt8 ? float(int8_t(out.data[0])) : float(uint8_t(out.data[0]));
  } else if (int64_t(out.data.size()) == 4 && out.shape.size() == 1) {
    std::memcpy(&out.single, out.data.data(), 4);
  }
  check_input(initializers_.emplace(name, out).second, path_, ": \"", name, "\" is there twice");
}

// Node: 1 input, 3 name, 4 operator. Returns the initializer that a MatMulInteger multiplies by.
std::string OnnxFile::read_node(std::string_view node) {
  std::vector<std::string> inputs;
  std::string name, kind;
  for (Fields f(node, path_); f.next();) {
    if (f.number() == 1) inputs.emplace_back(f.bytes());
    if (f.number() == 3) name = f.bytes();
    if (f.number() == 4) kind = f.bytes();
  }
  if (kind != "MatMulInteger" || inputs.size() < 2) return {};
  const std::string base(quantized_name(inputs[1]));
  if (base.empty() || !initializers_.contains(inputs[1])) return {};
  check_input(initializer(inputs[1]).shape.rank() == 2, path_, ": ", name, " multiplies by \"", inputs[1],
              "\", which is no matrix");
  add(name, {inputs[1], base + "_scale", base + "_zero_point", true});
  return inputs[1];
}

void OnnxFile::add(const std::string& name, const Place& place) {
  const Initializer& data = initializer(place.data);
  check_input(int64_t(data.data.size()) == data.shape.size() * (data.type == kFloat ? 4 : 1), path_, ": \"", place.data,
              "\" has no raw data");
  if (!place.scale.empty()) {  // both must be there
    single(place.scale);
    const float zero_point = single(place.zero_point);
    check_input(zero_point >= -128 && zero_point <= 255, path_, ": \"", place.zero_point, "\" is ", zero_point,
                ", no 8-bit integer");
  }
  const Shape shape = place.transposed ? Shape{data.shape[1], data.shape[0]} : data.shape;
  check_input(entries_.emplace(name, Entry{shape, data.type == kFloat  ? "F32"
                                                  : data.type == kInt8 ? "I8"
                                                                       : "U8"})
                  .second,
              path_, ": \"", name, "\" is there twice");
  places_.emplace(name, place);
}

const OnnxFile::Initializer& OnnxFile::initializer(const std::string& name) const {
  const auto found = initializers_.find(name);
  check_input(found != initializers_.end(), path_, ": \"", name, "\" is missing");
  return found->second;
}

float OnnxFile::single(const std::string& name) const {
  const Initializer& i = initializer(name);
  check_input(i.shape.size() == 1, path_, ": \"", name, "\" has shape ", i.shape, "; expected one value");
  return i.single;
}

Tensor OnnxFile::read(std::string_view name) const {
  const Entry& e = entry(name);
  const Place& place = places_.find(name)->second;
  const Initializer& source = initializer(place.data);
  const Tensor out = Tensor::empty(e.shape, DType::f32);
  float* const to = out.data<float>();
  if (source.type == kFloat) {
    std::memcpy(to, source.data.data(), source.data.size());
    return out;
  }
  const int zero_point = int(single(place.zero_point));
  const float scale = single(place.scale);
  const auto value = [&](int64_t i) {
    const int q = source.type == kInt8 ? int(int8_t(source.data[size_t(i)])) : int(uint8_t(source.data[size_t(i)]));
    return float(q - zero_point) * scale;
  };
  const int64_t rows = place.transposed ? e.shape[0] : 1, cols = rows ? e.shape.size() / rows : 0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) to[r * cols + c] = value(c * rows + r);
  return out;
}

}  // namespace cambium
