// ONNX weights: dequantised as defined; graphs become a Hugging Face directory; damage is an
// InputError.
#include "models/files/onnx.h"

#include <cstring>

#include "tests/support/array.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

std::string varint(uint64_t v) {
  std::string out;
  for (; v >= 128; v >>= 7) out += char((v & 127) | 128);
  return out + char(v);
}
std::string number(int field, uint64_t v) { return varint(uint64_t(field) << 3) + varint(v); }
std::string bytes(int field, const std::string& b) { return varint(uint64_t(field) << 3 | 2) + varint(b.size()) + b; }

enum { kFloat = 1, kUint8 = 2, kInt8 = 3, kInt64 = 7 };

std::string tensor(const std::string& name, int type, const std::vector<int64_t>& dims, const std::string& raw) {
  std::string out, packed;
  for (const int64_t d : dims) packed += varint(uint64_t(d));
  if (!dims.empty()) out += bytes(1, packed);
  return bytes(5, out + number(2, uint64_t(type)) + bytes(8, name) + bytes(9, raw));
}
std::string float_raw(const std::vector<float>& v) { return {reinterpret_cast<const char*>(v.data()), 4 * v.size()}; }
std::string single_float(const std::string& name, float v) {
  return bytes(5, number(2, kFloat) + bytes(4, float_raw({v})) + bytes(8, name));
}
std::string single_int(const std::string& name, int type, int64_t v) {
  return bytes(5, number(2, uint64_t(type)) + bytes(5, varint(uint64_t(v))) + bytes(8, name));
}
std::string quantised(const std::string& name, int type, const std::vector<int64_t>& dims, const std::string& raw,
                      float scale, int64_t zero) {
  return tensor(name + "_quantized", type, dims, raw) + single_float(name + "_scale", scale) +
         single_int(name + "_zero_point", type, zero);
}
std::string node(const std::string& kind, const std::string& name, const std::string& weight) {
  return bytes(1, bytes(1, "x") + bytes(1, weight) + bytes(2, "y") + bytes(3, name) + bytes(4, kind));
}
std::string model(const std::string& graph) { return number(1, 8) + bytes(2, "test") + bytes(7, graph); }

std::string sample() {
  return model(node("MatMulInteger", "/enc/block.0/q/MatMul_quant", "W_quantized") +
               node("Gather", "/g", "E_quantized") + tensor("enc.norm.weight", kFloat, {3}, float_raw({1, -2, 0.5f})) +
               quantised("W", kInt8, {2, 3}, std::string("\x01\x02\x7f\x80\xff\x00", 6), 0.25f, -1) +
               quantised("E", kUint8, {2, 2}, std::string("\x00\xff\x80\x01", 4), 0.5f, 128) +
               tensor("shape", kInt64, {1}, std::string(8, 1)));
}

class Onnx : public ::testing::Test {
 protected:
  const TemporaryDirectory folder_{memory_folder()};
  const std::string path_ = folder_ / "a.onnx";

  void fails(const std::string& file, std::initializer_list<std::string_view> parts) {
    put_file(path_, file);
    expect_error<InputError>([&] { OnnxFile f(path_); }, parts);
  }
};

TEST_F(Onnx, Values) {
  put_file(path_, sample());
  const OnnxFile file(path_);
  EXPECT_EQ(file.names(), (std::vector<std::string>{"/enc/block.0/q/MatMul_quant", "E", "enc.norm.weight"}));
  EXPECT_EQ(to_array(file.read("enc.norm.weight")).values, (std::vector<double>{1, -2, 0.5}));
  EXPECT_EQ(file.shape("/enc/block.0/q/MatMul_quant"), (Shape{3, 2}));
  // (q + 1) / 4, transposed
  EXPECT_EQ(to_array(file.read("/enc/block.0/q/MatMul_quant")).values,
            (std::vector<double>{0.5, -31.75, 0.75, 0, 32, 0.25}));
  EXPECT_EQ(to_array(file.read("E")).values, (std::vector<double>{-64, 63.5, 0, -63.5}));
  EXPECT_EQ(file.entry("E").type, "U8");
}

TEST_F(Onnx, WrongGraphs) {
  fails("", {"a.onnx: is not an ONNX file: it has no graph"});
  fails("text", {"is not an ONNX file, or is damaged"});
  fails(bytes(7, "") + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", {"is not an ONNX file, or is damaged"});
  fails(model(tensor("a", kFloat, {2}, float_raw({1}))), {"\"a\" of shape [2] has 4 bytes"});
  fails(model(tensor("a", kFloat, {int64_t(1) << 39, int64_t(1) << 39}, "")), {"\"a\" has an impossible size"});
  fails(model(tensor("a", kFloat, {-1}, "")), {"\"a\"", "impossible size"});
  fails(model(tensor("a", kFloat, std::vector<int64_t>(9, 1), "1234")), {"more than 6 dimensions"});
  fails(model(tensor("a", kFloat, {1}, "1234") + tensor("a", kFloat, {1}, "1234")), {"\"a\" is there twice"});
  fails(model(tensor("a_quantized", kInt8, {1}, "1")), {"\"a_scale\" is missing"});
  fails(model(quantised("a", kInt8, {1}, "1", 1, 0) + node("MatMulInteger", "n", "a_quantized")),
        {"n multiplies by \"a_quantized\", which is no matrix"});
  fails(model(tensor("a_quantized", kInt8, {1}, "1") + tensor("a_scale", kFloat, {2}, float_raw({1, 2})) +
              single_int("a_zero_point", kInt8, 0)),
        {"\"a_scale\" has shape [2]; expected one value"});
  fails(model(single_int("a_quantized", kInt8, 1) + single_float("a_scale", 1) + single_int("a_zero_point", kInt8, 0)),
        {"\"a_quantized\" has no raw data"});
  fails(model(bytes(5, number(2, kFloat) + bytes(8, "a") + number(14, 1))), {"\"a\" lie in another file"});
}

TEST_F(Onnx, T5) {
  const std::string embedding = std::string("\x01\x02\x03\x04", 4);
  const auto linear = [](const std::string& name, const std::string& weight) {
    return node("MatMulInteger", name, weight + "_quantized") + quantised(weight, kInt8, {2, 1}, "ab", 0.5f, 0);
  };
  const std::string encoder = model(quantised("enc.embed_tokens.weight", kUint8, {2, 2}, embedding, 0.5f, 2) +
                                    linear("/enc/block.0/layer.0/SelfAttention/q/MatMul_quant", "W1") +
                                    tensor("enc.final_layer_norm.weight", kFloat, {1}, float_raw({1})));
  const auto decoder = [&](float scale) {
    return model(quantised("m.shared.weight", kUint8, {2, 2}, embedding, scale, 2) +
                 linear("/m/lm_head/MatMul_quant", "W1") +
                 linear("/m/decoder/block.0/layer.2/DenseReluDense/wo/MatMul_quant", "W2"));
  };
  put_file(folder_ / "encoder.onnx", encoder);
  put_file(folder_ / "decoder.onnx", decoder(0.5f));
  put_file(folder_ / "tokenizer.json", "{}");
  make_directories(folder_ / "out");
  convert_t5_graphs(folder_.path(), folder_ / "out");
  const auto file = open_weights(folder_ / "out");
  EXPECT_EQ(file->names(),
            (std::vector<std::string>{"decoder.block.0.layer.2.DenseReluDense.wo.weight",
                                      "encoder.block.0.layer.0.SelfAttention.q.weight",
                                      "encoder.final_layer_norm.weight", "lm_head.weight", "shared.weight"}));
  EXPECT_EQ(to_array(file->read("shared.weight")).values, (std::vector<double>{-0.5, 0, 0.5, 1}));
  EXPECT_EQ(file->shape("lm_head.weight"), (Shape{1, 2}));
  put_file(folder_ / "decoder.onnx", decoder(0.25f));
  expect_error<InputError>([&] { convert_t5_graphs(folder_.path(), folder_ / "out"); },
                           {"do not have the same embedding"});
}

TEST_F(Onnx, DamageIsNeverWorseThanAnInputError) {
  const std::string whole = sample();
  int refused = 0;
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    put_file(path_, damaged(whole, seed));
    try {
      const OnnxFile file(path_);
      for (const auto& name : file.names()) file.read(name);
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 700);
}

}  // namespace
}  // namespace cambium::testing
