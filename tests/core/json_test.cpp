// JSON: what is refused and where it says the fault lies; fields with bounds.
#include "core/json.h"

#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json_integer.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

TEST(Json, Values) {
  const auto json =
      parse_json(R"({"a": [1, -2, 3.5, true, null, "ü\n\u00e9"], "b": {}, "c": 18446744073709551615})", "x");
  EXPECT_EQ(json.dump(), R"({"a":[1,-2,3.5,true,null,"ü\né"],"b":{},"c":18446744073709551615})");
  EXPECT_EQ(parse_json("7", "x").get<int>(), 7);
  EXPECT_EQ(parse_json("\xef\xbb\xbf[[], [[0]]]", "x").dump(), "[[],[[0]]]");
  // What Hugging Face writes for "no limit".
  EXPECT_EQ(parse_json("1000000000000000019884624838656", "x").get<double>(), 1e30);
}

TEST(Json, FaultsHaveAPlace) {
  const auto fails = [](std::string_view source, std::initializer_list<std::string_view> parts) {
    expect_error<InputError>([&] { parse_json(source, "f.json"); }, parts);
  };
  fails("", {"f.json:1:1: ", "unexpected end of input"});
  fails("{\n  \"a\": 1,\n  \"a\": 2}", {"f.json:3:5: ", "\"a\" comes a second time"});
  fails("[1,\n 2", {"f.json:2:2: ", "unexpected end of input"});
  fails("[NaN]", {"f.json:1:2: ", "invalid literal"});
  fails("[Infinity]", {"f.json:1:2: "});
  fails("[1e999]", {"f.json:1:7: ", "number overflow"});
  fails("[1] 2", {"f.json:1:5: "});
  fails("[1,]", {"f.json:1:4: "});
  fails("// c\n1", {"f.json:1:1: "});
  fails("\"\xff\"", {"f.json:1:2: ", "ill-formed UTF-8"});
  fails("\"\\ud800\"", {"f.json:1:8: ", "surrogate"});
  fails("\"a\x01\"", {"f.json:1:3: ", "control character"});
  fails(std::string_view("1\0", 2), {"f.json:1:2: "});
}

TEST(Json, DepthIsLimited) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(size_t(kJsonDepth)), "x").is_array());
  expect_error<InputError>([&] { parse_json(nested(size_t(kJsonDepth) + 1), "x"); }, {"x:1:65: more than 64 arrays"});
  expect_error<InputError>([&] { parse_json(std::string(1000000, '['), "x"); }, {"x:1:65"});
  std::string objects;
  for (int i = 0; i < 100; ++i) objects += "{\"a\":";
  expect_error<InputError>([&] { parse_json(objects, "x"); }, {"more than 64"});
}

TEST(Json, Files) {
  const TemporaryDirectory folder;
  write_file(folder / "a.json", "{\"x\":\n 1");
  expect_error<InputError>([&] { parse_json_file(folder / "a.json"); }, {"a.json:2:2: "});
  expect_error<InputError>([&] { parse_json_file(folder / "a.json", 3); }, {"a.json", "at most 3"});
  expect_error<InputError>([&] { parse_json_file(folder / "b.json"); }, {"b.json", "No such file"});
}

TEST(Json, Fields) {
  const auto json = parse_json(
      R"({"n": 12, "x": 0.5, "s": "text", "t": true, "null": null, "huge": 18446744073709551615,
                                   "list": ["a", "b"], "mixed": ["a", 1], "ids": [1, -2], "o": {"k": 1}})",
      "x");
  EXPECT_EQ(get_int(json, "n", 1, 12), 12);
  EXPECT_EQ(get_number(json, "x", 0, 1), 0.5);
  EXPECT_EQ(get_number(json, "n"), 12);
  EXPECT_EQ(get_string(json, "s"), "text");
  EXPECT_TRUE(get_bool(json, "t"));
  EXPECT_EQ(get_strings(json, "list"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(get_ints(json, "ids"), (std::vector<int64_t>{1, -2}));
  EXPECT_EQ(get_int(get_object(json, "o"), "k"), 1);
  EXPECT_EQ(find_int(json, "n"), 12);
  EXPECT_EQ(find_int(json, "none"), std::nullopt);
  EXPECT_EQ(find_int(json, "null"), std::nullopt);
  EXPECT_EQ(find_string(json, "s"), "text");
  EXPECT_EQ(find_bool(json, "none"), std::nullopt);
  EXPECT_EQ(find_number(json, "x"), 0.5);

  expect_error<InputError>([&] { get_int(json, "n", 1, 11); }, {"\"n\" is 12", "an integer from 1 to 11"});
  expect_error<InputError>([&] { get_int(json, "x"); }, {"\"x\" is 0.5", "an integer"});
  expect_error<InputError>([&] { get_int(json, "huge", 0); }, {"18446744073709551615", "an integer of at least 0"});
  expect_error<InputError>([&] { get_int(json, "none", 1, 5); }, {"\"none\" is missing", "an integer from 1 to 5"});
  expect_error<InputError>([&] { get_int(json, "null"); }, {"\"null\" is missing"});
  expect_error<InputError>([&] { find_int(json, "s"); }, {"\"s\" is \"text\""});
  expect_error<InputError>([&] { get_number(json, "x", 0.75, 1); }, {"\"x\" is 0.5", "a number from 0.75 to 1"});
  expect_error<InputError>([&] { get_string(json, "n"); }, {"\"n\" is 12", "a string"});
  expect_error<InputError>([&] { get_bool(json, "n"); }, {"true or false"});
  expect_error<InputError>([&] { get_strings(json, "mixed"); }, {"\"mixed[1]\" is 1", "a string"});
  expect_error<InputError>([&] { get_ints(json, "ids", 0, 9); }, {"\"ids[1]\" is -2", "an integer from 0 to 9"});
  expect_error<InputError>([&] { get_object(json, "list"); }, {"an array of 2", "an object"});
  expect_error<InputError>([&] { get_int(json["list"], "n"); }, {"an object with the field \"n\"", "an array of 2"});
  expect_error<InputError>([&] { reading("config.json", [&] { return get_int(json, "s"); }); },
                           {"config.json: the field"});
}

// 2^63 and 2^64 - 1 are -2^63 and -1 to whoever only asks for an int64_t.
TEST(Json, IntegersDoNotWrapAround) {
  const auto json = parse_json("[9223372036854775807, 9223372036854775808, 18446744073709551615, -1, 1.0]", "x");
  constexpr int64_t least = std::numeric_limits<int64_t>::min(), most = std::numeric_limits<int64_t>::max();
  EXPECT_TRUE(is_int(json[0], 0, most));
  for (const int wrong : {1, 2, 4}) EXPECT_FALSE(is_int(json[wrong], least, most)) << wrong;
  EXPECT_TRUE(is_int(json[3], -1, 0));
  EXPECT_FALSE(is_int(json[3], 0, most));
}

TEST(Json, DamageIsNeverWorseThanAnInputError) {
  const std::string source =
      R"({"model": {"vocab": {"a": 0, "b": 1, "\u0120c": 2}, "merges": [["a", "b"], "c d"]}, "x": [1.5e3, -0, {"y": false}]})";
  int refused = 0;
  for (uint32_t seed = 0; seed < 2000; ++seed) {
    try {
      parse_json(damaged(source, seed), "x");
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace cambium::testing
