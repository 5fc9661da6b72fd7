// GGUF: values, shapes and bits against the definitions; hostile sizes and damage are InputErrors.
#include "models/files/gguf.h"

#include <cmath>
#include <functional>

#include <nlohmann/json.hpp>

#include "core/half.h"
#include "models/companions.h"
#include "models/import/config.h"
#include "tests/support/array.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

enum : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

// Writes GGUF as its specification says.
struct Writer {
  std::string bytes;

  template <class T>
  Writer& add(T value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Writer& string(std::string_view s) {
    add(uint64_t(s.size()));
    bytes += s;
    return *this;
  }
  Writer& start(uint64_t tensors, uint64_t values, uint32_t version = 3) {
    bytes += "GGUF";
    return add(version).add(tensors).add(values);
  }
  template <class T>
  Writer& value(std::string_view key, uint32_t type, T v) {
    return string(key).add(type).add(v);
  }
  Writer& text_value(std::string_view key, std::string_view v) { return string(key).add(kString).string(v); }
  Writer& tensor(std::string_view name, std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
    string(name).add(uint32_t(dims.size()));
    for (const uint64_t d : dims) add(d);
    return add(type).add(offset);
  }
  Writer& align(size_t to) {
    bytes.resize((bytes.size() + to - 1) / to * to);
    return *this;
  }
};

std::string random_bytes(size_t count, uint32_t seed) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += char(philox(random_key(5, "bytes"), uint32_t(i), seed, 0, 0).word[0]);
  return out;
}

Writer sample() {
  Writer w;
  w.start(6, 18);
  w.value("u8", kU8, uint8_t(200))
      .value("i8", kI8, int8_t(-3))
      .value("u16", kU16, uint16_t(60000))
      .value("i16", kI16, int16_t(-300));
  w.value("u32", kU32, uint32_t(4000000000u)).value("i32", kI32, int32_t(-70000)).value("u64", kU64, uint64_t(1) << 40);
  w.value("i64", kI64, int64_t(-5)).value("f32", kF32, 0.5f).value("f64", kF64, 0.1).value("yes", kBool, uint8_t(1));
  w.text_value("text", "gr\xc3\xbc\xc3\x9f")
      .value("huge", kU64, ~uint64_t(0))
      .value("general.alignment", kU32, uint32_t(64));
  w.string("words")
      .add(kArray)
      .add(kString)
      .add(uint64_t(3))
      .string("a")
      .string("")
      .string(std::string_view("b\0c", 3));
  w.string("ints").add(kArray).add(kI32).add(uint64_t(2)).add(int32_t(7)).add(int32_t(-7));
  w.string("floats").add(kArray).add(kF32).add(uint64_t(2)).add(1.5f).add(-1.f);
  w.string("nested")
      .add(kArray)
      .add(kArray)
      .add(uint64_t(2))
      .add(kU8)
      .add(uint64_t(1))
      .add(uint8_t(1))
      .add(kString)
      .add(uint64_t(1))
      .string("x");
  w.tensor("f32", {3, 2}, 0, 0).tensor("f16", {4}, 1, 64).tensor("bf16", {2}, 30, 128);
  w.tensor("q8_0", {64, 3}, 8, 192).tensor("q4_0", {32, 2, 2}, 2, 448).tensor("q4_1", {96}, 3, 576);
  w.align(64);
  for (const float v : {1.f, 2.f, 3.f, 4.f, 5.f, 6.f}) w.add(v);
  w.align(64).add(uint16_t(0x3c00)).add(uint16_t(0x8001)).add(uint16_t(0x7bff)).add(uint16_t(0)).align(64);
  w.add(uint16_t(0x3fc0)).add(uint16_t(0xc000)).align(64);
  w.bytes += random_bytes(6 * 34, 1);
  w.align(64).bytes += random_bytes(4 * 18, 2);
  w.align(64).bytes += random_bytes(3 * 20, 3);
  return w;
}

class Gguf : public ::testing::Test {
 protected:
  const TemporaryDirectory folder_{memory_folder()};
  const std::string path_ = folder_ / "a.gguf";

  void fails(const Writer& w, std::initializer_list<std::string_view> parts) {
    put_file(path_, w.bytes);
    expect_error<InputError>([&] { GgufFile file(path_); }, parts);
  }
};

TEST_F(Gguf, Values) {
  put_file(path_, sample().bytes);
  const auto file = open_weights(path_);
  const GgufValues& v = dynamic_cast<const GgufFile&>(*file).values();
  EXPECT_EQ(v.get_int("u8"), 200);
  EXPECT_EQ(v.get_int("i8"), -3);
  EXPECT_EQ(v.get_int("u16"), 60000);
  EXPECT_EQ(v.get_int("i16"), -300);
  EXPECT_EQ(v.get_int("u32"), 4000000000);
  EXPECT_EQ(v.get_int("i32"), -70000);
  EXPECT_EQ(v.get_int("u64"), int64_t(1) << 40);
  EXPECT_EQ(v.get_int("i64", -5, -5), -5);
  EXPECT_EQ(v.get_number("f32"), 0.5);
  EXPECT_EQ(v.get_number("f64"), 0.1);
  EXPECT_EQ(v.get_number("u8"), 200);
  EXPECT_TRUE(v.get_bool("yes"));
  EXPECT_EQ(v.get_string("text"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(v.get_strings("words"), (std::vector<std::string>{"a", "", std::string("b\0c", 3)}));
  EXPECT_EQ(v.get_ints("ints"), (std::vector<int64_t>{7, -7}));
  EXPECT_EQ(v.get_floats("floats"), (std::vector<float>{1.5f, -1.f}));
  EXPECT_TRUE(v.has("nested"));
  EXPECT_EQ(v.find_int("none"), std::nullopt);
  EXPECT_EQ(v.find_int("u8"), 200);
  EXPECT_EQ(v.find_bool("none"), std::nullopt);
  EXPECT_EQ(v.find_string("text"), "gr\xc3\xbc\xc3\x9f");
  EXPECT_EQ(v.find_number("f32", 0, 1), 0.5);
  EXPECT_EQ(file->metadata().at("u32"), "4000000000");
  EXPECT_EQ(file->metadata().at("huge"), "18446744073709551615");
  EXPECT_EQ(file->metadata().at("words"), "an array of 3");

  expect_error<InputError>([&] { v.get_int("none"); }, {path_, "none is missing; expected an integer"});
  expect_error<InputError>([&] { v.get_int("u8", 0, 199); }, {"u8 is 200; expected an integer from 0 to 199"});
  expect_error<InputError>([&] { v.get_int("text"); }, {"text does not hold integers"});
  expect_error<InputError>([&] { v.get_int("f32"); }, {"f32 does not hold integers"});
  expect_error<InputError>([&] { v.get_int("ints"); }, {"ints is an array; expected an integer"});
  expect_error<InputError>([&] { v.get_int("huge"); }, {"huge holds 18446744073709551615"});
  expect_error<InputError>([&] { v.get_number("f32", 1, 2); }, {"f32 is 0.5; expected a number from 1 to 2"});
  expect_error<InputError>([&] { v.get_string("u8"); }, {"u8 does not hold a string"});
  expect_error<InputError>([&] { v.get_bool("u8"); }, {"u8 does not hold a boolean"});
  expect_error<InputError>([&] { v.get_strings("text"); }, {"text is no array; expected an array of strings"});
  expect_error<InputError>([&] { v.get_strings("ints"); }, {"ints does not hold strings"});
  expect_error<InputError>([&] { v.get_ints("words"); }, {"words does not hold integers"});
  expect_error<InputError>([&] { v.get_floats("ints"); }, {"ints does not hold 32-bit numbers"});
}

TEST_F(Gguf, Tensors) {
  put_file(path_, sample().bytes);
  const GgufFile file(path_);
  EXPECT_EQ(file.names(), (std::vector<std::string>{"bf16", "f16", "f32", "q4_0", "q4_1", "q8_0"}));
  EXPECT_EQ(file.shape("f32"), (Shape{2, 3}));
  EXPECT_EQ(file.shape("q4_0"), (Shape{2, 2, 32}));
  EXPECT_EQ(file.entry("q4_1").type, "Q4_1");
  EXPECT_EQ(to_array(file.read("f32")).values, (std::vector<double>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(to_array(file.read("f16")).values, (std::vector<double>{1, -0x1p-24, 65504, 0}));
  EXPECT_EQ(file.read("bf16").dtype(), DType::bf16);
  EXPECT_EQ(to_array(file.read("bf16")).values, (std::vector<double>{1.5, -2}));
}

// Value i of a row from its block's bytes, as ggml defines it.
TEST_F(Gguf, QuantisedValues) {
  put_file(path_, sample().bytes);
  const GgufFile file(path_);
  const auto half = [](const std::string& b, size_t at) {
    return half_to_float(uint16_t(uint8_t(b[at]) | uint8_t(b[at + 1]) << 8));
  };
  const auto nibble = [](const std::string& b, size_t start, size_t i) {
    return uint8_t(b[start + i % 16]) >> (i < 16 ? 0 : 4) & 15;
  };
  const auto check = [&](const char* name, const std::string& bytes, size_t block, const auto& value) {
    const Tensor t = file.read(name);
    ASSERT_EQ(t.dtype(), DType::f32);
    for (size_t i = 0; i < size_t(t.size()); ++i) {
      const float expected = value(bytes.substr(i / 32 * block, block), i % 32);
      EXPECT_EQ(std::memcmp(&expected, t.data<float>() + i, 4), 0)
          << name << ' ' << i << ": " << t.data<float>()[i] << " not " << expected;
    }
  };
  check("q8_0", random_bytes(6 * 34, 1), 34,
        [&](const std::string& b, size_t i) { return float(int8_t(b[2 + i])) * half(b, 0); });
  check("q4_0", random_bytes(4 * 18, 2), 18,
        [&](const std::string& b, size_t i) { return float(nibble(b, 2, i) - 8) * half(b, 0); });
  check("q4_1", random_bytes(3 * 20, 3), 20, [&](const std::string& b, size_t i) {
    const float product = float(nibble(b, 4, i)) * half(b, 0);
    return product + half(b, 2);
  });
}

// A model whose heads are rotated otherwise than by position / base^(2 i / head size) is refused.
TEST_F(Gguf, ScaledAndPartialRotationsAreRefused) {
  const auto configuration = [&](uint32_t head, uint32_t rotated, std::optional<float> divisor) {
    Writer w;
    w.start(divisor ? 2 : 1, 9).text_value("general.architecture", "llama");
    w.value("llama.embedding_length", kU32, uint32_t(16)).value("llama.attention.head_count", kU32, uint32_t(2));
    w.value("llama.block_count", kU32, uint32_t(1)).value("llama.feed_forward_length", kU32, uint32_t(8));
    w.value("llama.attention.key_length", kU32, head).value("llama.context_length", kU32, uint32_t(64));
    w.value("llama.attention.layer_norm_rms_epsilon", kF32, 1e-5f);
    w.value("llama.rope.dimension_count", kU32, rotated);
    w.tensor("token_embd.weight", {16, 4}, 0, 0);
    if (divisor) w.tensor("rope_freqs.weight", {4}, 0, 256);
    w.align(32).bytes += std::string(256, '\0');
    if (divisor)
      for (const float x : {1.f, 1.f, 1.f, *divisor}) w.add(x);
    put_file(path_, w.bytes);
    return read_gguf_config(GgufFile(path_));
  };
  EXPECT_EQ(configuration(8, 8, {}).rotary_size, 8);
  EXPECT_EQ(configuration(8, 8, 1.f).rotary_size, 8);
  expect_error<InputError>([&] { configuration(8, 8, 32.f); }, {path_, "rope_freqs.weight", "not supported"});
  expect_error<InputError>([&] { configuration(8, 4, {}); }, {path_, "rope.dimension_count is 4, a head has 8"});
  expect_error<InputError>([&] { configuration(5, 4, {}); }, {path_, "rope.dimension_count is 4, a head has 5"});
  expect_error<InputError>([&] { configuration(5, 5, {}); }, {path_, "rope.dimension_count is 5"});
}

// As llama.cpp's gguf-split writes it.
TEST_F(Gguf, PartsAreReadAsOneFile) {
  const auto part = [&](uint16_t number, uint16_t count, std::string_view tensor, float value, int32_t tensors = 2) {
    Writer w;
    w.start(1, 3).value("split.no", kU16, number).value("split.count", kU16, count);
    w.value("split.tensors.count", kI32, tensors).tensor(tensor, {1}, 0, 0).align(32).add(value);
    return w.bytes;
  };
  const std::string first = folder_ / "m-00001-of-00002.gguf", second = folder_ / "m-00002-of-00002.gguf";
  put_file(first, part(0, 2, "a", 1));
  expect_error<InputError>([&] { open_weights(first); }, {first, "part 2 of 2", "missing"});
  put_file(second, part(1, 2, "b", 2));
  for (const std::string& path : {first, second, folder_.path()}) {
    const auto file = open_weights(path);
    EXPECT_EQ(file->names(), (std::vector<std::string>{"a", "b"})) << path;
    EXPECT_EQ(to_array(file->read("a")).values, std::vector<double>{1});
    EXPECT_EQ(to_array(file->read("b")).values, std::vector<double>{2});
    EXPECT_EQ(file->files(), (std::vector<std::string>{first, second}));
  }
  put_file(second, part(0, 2, "b", 2));
  expect_error<InputError>([&] { open_weights(first); }, {second, "is not part 2 of 2"});
  put_file(second, part(1, 2, "a", 2));
  expect_error<InputError>([&] { open_weights(first); }, {second, "\"a\" is in another part"});
  put_file(second, part(1, 2, "b", 2)), put_file(first, part(0, 2, "a", 1, 3));
  expect_error<InputError>([&] { open_weights(first); }, {"have 2 tensors, not 3"});
  put_file(path_, part(1, 2, "b", 2));
  expect_error<InputError>([&] { open_weights(path_); }, {path_, "is part 2 of 2", "NAME-00001-of-"});
  put_file(folder_ / "other.gguf", part(0, 1, "a", 1, 1));
  expect_error<InputError>([&] { open_weights(folder_.path()); }, {"several GGUF files"});
}

// What nothing reads is named; a window bounds sequences; tokens may lie anywhere.
TEST_F(Gguf, SettingsAreUsedOrNamed) {
  const auto configuration = [&](const std::function<void(Writer&)>& more, uint64_t count) {
    Writer w;
    w.start(1, 8 + count).text_value("general.architecture", "llama");
    w.value("llama.embedding_length", kU32, uint32_t(16)).value("llama.attention.head_count", kU32, uint32_t(2));
    w.value("llama.block_count", kU32, uint32_t(1)).value("llama.feed_forward_length", kU32, uint32_t(8));
    w.value("llama.context_length", kU32, uint32_t(64));
    w.value("llama.attention.layer_norm_rms_epsilon", kF32, 1e-5f).value("llama.rope.freq_base", kF32, 500.f);
    more(w);
    w.tensor("token_embd.weight", {16, 4}, 0, 0).align(32).bytes += std::string(256, '\0');
    put_file(path_, w.bytes);
    return read_gguf_config(GgufFile(path_));
  };
  EXPECT_EQ(configuration([](Writer&) {}, 0).rotary_base, 500);
  EXPECT_EQ(
      configuration([](Writer& w) { w.value("llama.attention.sliding_window", kU32, uint32_t(8)); }, 1).max_positions,
      8);
  expect_error<InputError>([&] { configuration([](Writer& w) { w.value("llama.rope.scale_linear", kF32, 4.f); }, 1); },
                           {"rope.scale_linear"});
  ::testing::internal::CaptureStderr();
  const ModelConfig c = configuration(
      [](Writer& w) {
        w.value("llama.logit_scale", kF32, 0.5f).value("tokenizer.ggml.eos_token_id", kU32, uint32_t(9));
        w.value("tokenizer.ggml.padding_token_id", kU32, ~uint32_t(0));
      },
      3);
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(c.eos, std::vector<int32_t>{9});
  EXPECT_EQ(c.pad, -1);
  for (const char* part : {"llama.logit_scale = 0.5", "eos_token_id = 9", "pad_token_id = -1"})
    EXPECT_NE(said.find(part), std::string::npos) << said;
}

// A converted model has its tokenizer with the chat template, or is said to have none.
TEST_F(Gguf, VocabulariesGoAlongOrAreSaidToStay) {
  const auto companions = [&](std::string_view kind) {
    Writer w;
    w.start(0, 6).text_value("tokenizer.ggml.model", kind).text_value("tokenizer.ggml.pre", "gpt-2");
    w.string("tokenizer.ggml.tokens").add(kArray).add(kString).add(uint64_t(3));
    w.string("a").string("b").string("<end>");
    w.string("tokenizer.ggml.token_type").add(kArray).add(kI32).add(uint64_t(3));
    w.add(int32_t(1)).add(int32_t(1)).add(int32_t(3));
    w.value("tokenizer.ggml.eos_token_id", kU32, uint32_t(2));
    w.text_value("tokenizer.chat_template", "{{ messages }}");
    put_file(path_, w.bytes);
    ::testing::internal::CaptureStderr();
    const Companions all = companions_of(path_);
    return std::pair(all, ::testing::internal::GetCapturedStderr());
  };
  const auto [known, silence] = companions("gpt2");
  EXPECT_EQ(silence, "");
  const auto settings = nlohmann::json::parse(known.tokenizer.at("tokenizer_config.json"));
  EXPECT_EQ(settings.at("chat_template"), "{{ messages }}");
  EXPECT_EQ(settings.at("eos_token"), "<end>");
  EXPECT_EQ(nlohmann::json::parse(known.tokenizer.at("tokenizer.json")).at("model").at("vocab").size(), 3u);
  const auto [unknown, said] = companions("llama");
  EXPECT_TRUE(unknown.tokenizer.empty());
  EXPECT_NE(said.find("tokenizer stays behind"), std::string::npos) << said;
}

TEST_F(Gguf, HostileSizes) {
  const uint64_t huge = uint64_t(1) << 60;
  fails(Writer{}, {path_, "is not a GGUF file"});
  fails(Writer{"GGUF"}, {"is not a GGUF file"});
  fails(Writer().start(0, 0, 1), {"is GGUF version 1"});
  fails(Writer().start(0, 0, 0x03000000), {"big-endian"});
  fails(Writer().start(0, huge), {"claims 1152921504606846976 metadata"});
  fails(Writer().start(huge, 0), {"claims 1152921504606846976 tensors"});
  fails(Writer().start(0, 1).add(huge).string("padding"), {"a metadata key needs 1152921504606846976"});
  fails(Writer().start(0, 1).text_value("", "x"), {"a metadata key of 0 bytes"});
  const auto array = [&](uint32_t type) {
    return Writer().start(0, 1).string("key").add(kArray).add(type).add(huge).string("some bytes");
  };
  for (const uint32_t type : {kU8, kI16, kF32, kBool, kU64}) fails(array(type), {"an array needs 1152921504606846976"});
  fails(array(kString), {"claims 1152921504606846976 strings"});
  fails(array(kArray), {"claims 1152921504606846976 arrays"});
  fails(Writer().start(0, 1).value("key", 13, uint64_t(0)), {"unknown type 13"});
  fails(Writer().start(0, 1).value("key", kBool, uint8_t(2)), {"neither 0 nor 1"});
  Writer deep;
  deep.start(0, 1).string("key").add(kArray);
  for (int i = 0; i < 50; ++i) deep.add(kArray).add(uint64_t(1));
  fails(deep.string("padding, padding, padding"), {"arrays, 5 deep"});
  fails(Writer().start(0, 2).text_value("a", "x").text_value("a", "x"), {"a comes a second time"});
}

TEST_F(Gguf, WrongTensors) {
  const auto one = [](std::vector<uint64_t> dims, uint32_t type, uint64_t offset) {
    return Writer().start(1, 0).tensor("x", dims, type, offset).align(32);
  };
  const auto with_data = [](Writer w, size_t count) {
    w.bytes += std::string(count, '\0');
    return w;
  };
  fails(one({1, 1, 1, 1, 1}, 0, 0), {"\"x\" has 5 dimensions"});
  fails(one({0}, 0, 0), {"\"x\" has an impossible size"});
  fails(one({uint64_t(1) << 40, uint64_t(1) << 40}, 0, 0), {"impossible size"});
  fails(one({~uint64_t(0)}, 0, 0), {"impossible size"});
  fails(one({32}, 14, 0), {"\"x\" is of type Q6_K; supported are F32"});
  fails(one({32}, 77, 0), {"\"x\" is of the unknown type 77"});
  fails(one({33}, 8, 0), {"rows of 33 values; Q8_0 needs multiples of 32"});
  fails(with_data(one({8}, 0, 0), 31), {"\"x\" has 32 bytes at 0 of the data, but there are 31"});
  fails(with_data(one({8}, 0, 32), 32), {"\"x\" has 32 bytes at 32"});
  fails(with_data(one({8}, 0, ~uint64_t(31)), 64), {"\"x\" has 32 bytes at"});
  fails(with_data(one({8}, 0, 4), 64), {"lies at 4, no multiple of 32"});
  fails(with_data(Writer().start(2, 0).tensor("x", {16}, 0, 0).tensor("y", {8}, 0, 32).align(32), 64),
        {"\"x\" and \"y\" overlap"});
  fails(Writer().start(2, 0).tensor("x", {16}, 0, 0).tensor("x", {16}, 0, 64), {"\"x\" comes a second time"});
  fails(Writer().start(0, 1).value("general.alignment", kU32, uint32_t(24)),
        {"general.alignment 24 is no power of two"});
  fails(Writer().start(0, 1).value("general.alignment", kU32, uint32_t(0)), {"general.alignment is 0"});
  put_file(path_, with_data(one({}, 0, 0), 4).bytes);
  EXPECT_EQ(GgufFile(path_).shape("x"), Shape{});
}

TEST_F(Gguf, DamageIsNeverWorseThanAnInputError) {
  const std::string whole = sample().bytes;
  int refused = 0;
  const auto open = [&](const std::string& bytes) {
    put_file(path_, bytes);
    try {
      const GgufFile file(path_);
      for (const auto& name : file.names()) file.read(name).clone();
      for (const auto& key : file.values().keys()) file.values().print(key);
    } catch (const InputError&) {
      ++refused;
    }
  };
  for (uint32_t seed = 0; seed < 2000; ++seed) open(damaged(whole, seed));
  EXPECT_GT(refused, 500);
  refused = 0;
  for (size_t size = 0; size < whole.size(); ++size) open(whole.substr(0, size));
  EXPECT_EQ(refused, int(whole.size()));
}

}  // namespace
}  // namespace cambium::testing
