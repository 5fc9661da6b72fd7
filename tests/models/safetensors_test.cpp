// Safetensors: reading, writing, shards; wrong headers and damage are InputErrors with names.
#include "models/files/safetensors.h"

#include <cmath>
#include <cstdlib>

#include "core/half.h"
#include "tests/support/array.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

std::string with_length(const std::string& header) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header;
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

TEST(Half, EveryValue) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const double sign = h >> 15 ? -1 : 1;
    const int exponent = int(h >> 10 & 31), mantissa = int(h & 1023);
    const float value = half_to_float(uint16_t(h));
    if (exponent == 31 && mantissa) EXPECT_TRUE(std::isnan(value));
    else if (exponent == 31) EXPECT_EQ(value, sign * INFINITY);
    else if (exponent == 0) EXPECT_EQ(value, sign * std::ldexp(mantissa, -24));
    else EXPECT_EQ(value, sign * std::ldexp(1024 + mantissa, exponent - 25));
    EXPECT_EQ(std::signbit(value), sign < 0);
  }
}

TEST(Safetensors, WhatIsWrittenIsRead) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a.safetensors";
  const std::map<std::string, Tensor> tensors = {
      {"b", to_tensor(random_array({3, 5}, 1), DType::f32)},
      {"a", to_tensor(random_array({7}, 2), DType::bf16)},
      {"c", Tensor::of(std::vector<int32_t>{1, -2, 3})},
      {"d", to_tensor(random_array({2}, 4), DType::f64)},
      {"none", Tensor::zeros({0, 4}, DType::f32)},
      {"scalar", Tensor::of(std::span<const float>(std::vector<float>{2.5f}), Shape{})},
  };
  write_safetensors(path, tensors, {{"format", "pt"}});
  const std::string bytes = read_text_file(path);
  write_safetensors(path, tensors, {{"format", "pt"}});
  EXPECT_TRUE(read_text_file(path) == bytes);

  const auto file = open_weights(path);
  EXPECT_EQ(file->names(), (std::vector<std::string>{"a", "b", "c", "d", "none", "scalar"}));
  EXPECT_EQ(file->metadata().find("format")->second, "pt");
  EXPECT_EQ(file->entry("a").type, "BF16");
  for (const char* name : {"a", "b", "c", "scalar"}) {
    EXPECT_TRUE(same_bits(file->read(name), tensors.at(name))) << name;
    EXPECT_EQ(file->shape(name), tensors.at(name).shape());
  }
  EXPECT_TRUE(same_bits(file->read("d"), tensors.at("d").to(DType::f32)));
  EXPECT_EQ(file->read("none").shape(), (Shape{0, 4}));
  expect_error<InputError>([&] { file->read("x"); }, {path, "no tensor \"x\""});
}

TEST(Safetensors, OtherTypes) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a.safetensors";
  const std::string header =
      R"({"h":{"dtype":"F16","shape":[3],"data_offsets":[0,6]},"l":{"dtype":"I64","shape":[2],"data_offsets":[6,22]},)"
      R"("u":{"dtype":"U8","shape":[1],"data_offsets":[22,23]},"f":{"dtype":"F32","shape":[1],"data_offsets":[23,27]},)"
      R"("big":{"dtype":"I64","shape":[1],"data_offsets":[27,35]}})";
  write_file(path, with_length(header) + bytes_of<uint16_t>({0x3c00, 0xc000, 0x0001}) + bytes_of<int64_t>({7, -1}) +
                       "\x05" + bytes_of<float>({0.25f}) + bytes_of<int64_t>({int64_t(1) << 31}));
  const SafetensorsFile file(path);
  EXPECT_EQ(to_array(file.read("h")).values, (std::vector<double>{1, -2, 0x1p-24}));
  EXPECT_EQ(file.read("l").span<int32_t>()[0], 7);
  EXPECT_EQ(file.read("l").span<int32_t>()[1], -1);
  EXPECT_EQ(file.read("f").span<float>()[0], 0.25f);  // at an odd address
  expect_error<InputError>([&] { file.read("u"); }, {path, "\"u\" is of type U8", "F32, BF16"});
  expect_error<InputError>([&] { file.read("big"); }, {path, "\"big\" holds 2147483648"});
}

TEST(Safetensors, WrongHeaders) {
  const TemporaryDirectory folder;
  const std::string path = folder / "a.safetensors";
  const auto fails = [&](const std::string& bytes, std::initializer_list<std::string_view> parts) {
    put_file(path, bytes);
    expect_error<InputError>([&] { SafetensorsFile file(path); }, parts);
  };
  const auto entry = [](const std::string& fields) { return with_length("{\"x\":{" + fields + "}}"); };
  fails("", {path, "is an empty file"});
  fails("short", {path, "is not a safetensors file"});
  fails("1234567", {"it has 7 bytes"});
  fails(std::string(8, '\xff'), {"does not fit into 0"});
  fails(with_length("{}").substr(0, 9), {"does not fit into 1"});
  fails(with_length("[]"), {"is not a JSON object"});
  fails(with_length("{\"x\":"), {"(header):1:"});
  fails(with_length("{}") + "data", {"describes 0 bytes of data, but there are 4"});
  fails(with_length("{\"x\":1}"), {"tensor \"x\"", "an object with the field"});
  fails(entry(R"("shape":[1],"data_offsets":[0,4])"), {"tensor \"x\": the field \"dtype\" is missing"});
  fails(entry(R"("dtype":"F33","shape":[1],"data_offsets":[0,4])"), {"unknown type \"F33\""});
  fails(entry(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), {"\"shape[0]\" is -1"});
  fails(entry(R"("dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4])"), {"has 7 dimensions"});
  fails(entry(R"("dtype":"F32","shape":[281474976710656,281474976710656],"data_offsets":[0,4])"), {"impossible size"});
  fails(entry(R"("dtype":"F32","shape":[281474976710656,65536,0],"data_offsets":[0,0])"), {"impossible size"});
  fails(entry(R"("dtype":"F32","shape":[2],"data_offsets":[4,0])"), {"\"data_offsets\" is not a range"});
  fails(entry(R"("dtype":"F32","shape":[1],"data_offsets":[9223372036854775803,9223372036854775807])"),
        {"\"data_offsets[0]\" is 9223372036854775803"});
  fails(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), {"[2] of F32 takes 8 bytes, but it has 4"});
  fails(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])") + "1234",
        {"describes 8 bytes of data, but there are 4: cut short"});
  fails(entry(R"("dtype":"F32","shape":[1],"data_offsets":[4,8])") + "12345678",
        {"\"x\" starts at byte 4", "nothing describes"});
  fails(
      with_length(
          R"({"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"y":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})") +
          "123456",
      {"\"y\" starts at byte 2", "another one lies there", "expected 4"});
  fails(with_length(R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{}})"), {"\"x\" comes a second time"});
  fails(with_length(R"({"__metadata__":{"a":1}})"), {"__metadata__", "\"a\" is 1"});
}

TEST(Safetensors, Shards) {
  const TemporaryDirectory folder;
  const Tensor one = Tensor::of(std::vector<float>{1}), two = Tensor::of(std::vector<float>{2});
  const std::string index = folder / "model.safetensors.index.json";
  write_safetensors(folder / "s1.safetensors", {{"a", one}, {"extra", one}});
  write_safetensors(folder / "s2.safetensors", {{"b", two}});
  const auto with_map = [&](const std::string& map) {
    put_file(index, "{\"metadata\":{},\"weight_map\":{" + map + "}}");
  };
  const auto fails = [&](std::initializer_list<std::string_view> parts) {
    expect_error<InputError>([&] { open_weights(folder.path()); }, parts);
  };
  with_map(R"("a":"s1.safetensors","b":"s2.safetensors")");
  EXPECT_EQ(open_weights(folder.path())->names(), (std::vector<std::string>{"a", "b", "extra"}));
  EXPECT_EQ(open_weights(index)->read("b").span<float>()[0], 2);
  EXPECT_EQ(open_weights(index)->files(),
            (std::vector<std::string>{index, folder / "s1.safetensors", folder / "s2.safetensors"}));
  with_map(R"("a":"s1.safetensors","b":"s3.safetensors")");
  fails({"the shard s3.safetensors is missing", "like \"b\""});
  with_map(R"("a":"s1.safetensors","c":"s2.safetensors")");
  fails({"\"c\" is not in its shard s2.safetensors"});
  with_map(R"("a":"s1.safetensors","b":"../s2.safetensors")");
  fails({"\"../s2.safetensors\" is not the name of a file"});
  with_map(R"("a":"s1.safetensors","b":2)");
  fails({"index.json", "\"b\" is 2"});
  with_map("");
  fails({"\"weight_map\" is empty"});
  put_file(index, "{}");
  fails({"\"weight_map\" is missing"});
  with_map(R"("a":"s1.safetensors","b":"s2.safetensors")");
  write_safetensors(folder / "s2.safetensors", {{"a", two}, {"b", two}});
  fails({"s2.safetensors: tensor \"a\" is in another shard too"});
}

TEST(Weights, WhatAPathMeans) {
  const TemporaryDirectory folder;
  expect_error<InputError>([&] { open_weights(folder.path()); },
                           {folder.path(), "is an empty directory", "safetensors"});
  expect_error<InputError>([&] { open_weights(folder / "none"); }, {"none", "No such file"});
  put_file(folder / "pytorch_model.bin", "PK");
  for (const std::string& path : {folder.path(), folder / "pytorch_model.bin"})
    expect_error<InputError>([&] { open_weights(path); },
                             {path, "runs code", "convert it to safetensors"});
  write_safetensors(folder / "model.safetensors", {{"a", Tensor::of(std::vector<float>{1})}});
  EXPECT_EQ(open_weights(folder.path())->names(), std::vector<std::string>{"a"});
}

TEST(Safetensors, DamageIsNeverWorseThanAnInputError) {
  const TemporaryDirectory folder(memory_folder());
  const std::string path = folder / "a.safetensors";
  write_safetensors(path,
                    {{"first", to_tensor(random_array({4, 3}, 1), DType::f32)},
                     {"second", to_tensor(random_array({5}, 1), DType::bf16)},
                     {"third", Tensor::of(std::vector<int32_t>{5})}},
                    {{"format", "pt"}});
  const std::string whole = read_text_file(path);
  int refused = 0;
  const auto open = [&](const std::string& bytes) {
    put_file(path, bytes);
    try {
      const auto file = open_weights(path);
      for (const auto& name : file->names()) file->read(name).clone();
    } catch (const InputError&) {
      ++refused;
    }
  };
  for (uint32_t seed = 0; seed < 2000; ++seed) open(damaged(whole, seed));
  EXPECT_GT(refused, 1000);
  refused = 0;
  for (size_t size = 0; size < whole.size(); ++size) open(whole.substr(0, size));
  EXPECT_EQ(refused, int(whole.size()));
}

}  // namespace
}  // namespace cambium::testing
