// Tokenizer files made to harm: they are refused or read, in time and memory that their size and the text's bound.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/files.h"
#include "models/tokenizers/charsmap.h"
#include "models/tokenizers/tokenizer.h"
#include "tests/support/files.h"

namespace cambium {
namespace {

using nlohmann::json;
using testing::expect_error;
using testing::put_file;

// What a tokenizer.json of a few tokens with these stages makes of a text.
std::vector<int32_t> encoded(const json& stages, const std::string& text) {
  json j = {{"model", {{"type", "BPE"}, {"vocab", {{"a", 0}, {"b", 1}, {"ab", 2}}}, {"merges", {"a b"}}}}};
  j.update(stages);
  const TemporaryDirectory folder(testing::memory_folder());
  put_file(folder / "tokenizer.json", j.dump());
  const auto tokenizer = load_tokenizer(folder.path());
  tokenizer->decode(std::vector<int32_t>{0, 1, 2}, false);
  return tokenizer->encode(text, false);
}

json split_at(const std::string& pattern) {
  return {{"pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}}}};
}

TEST(TokenizerHostile, PatternsHaveNoHalfCharactersAndNoOverlaps) {
  for (const char* pattern : {"\\C", "(?=.(?1))(?:|x(b\\K))", "(?#[)a\\K", "\\Qa\\E", "\\Ga"})
    expect_error<InputError>([&] { encoded(split_at(pattern), "ab"); }, {"tokenizer.json", "not supported"});
  EXPECT_EQ(encoded(split_at("\\\\C|a"), "ab"), (std::vector<int32_t>{0, 1}));  // a backslash and a C
}

// What the tokenizers library (0.23, Oniguruma) cuts these texts into; a, b and ab are tokens, other bytes are dropped.
TEST(TokenizerHostile, PatternsMeanWhatOnigurumaMeans) {
  EXPECT_EQ(encoded(split_at("b$"), "ab\nab"), (std::vector<int32_t>{0, 1, 0, 1}));  // at the end of each line
  EXPECT_EQ(encoded(split_at("^a"), "ab\nab"), (std::vector<int32_t>{0, 1, 0, 1}));
  EXPECT_EQ(encoded(split_at("\\h"), "ab g"), (std::vector<int32_t>{0, 1}));          // hexadecimal digits
  EXPECT_EQ(encoded(split_at("\\v"), "a\nb"), std::vector<int32_t>{2});               // the vertical tab alone
  EXPECT_EQ(encoded(split_at("(?m)a.a"), "a\nab"), (std::vector<int32_t>{0, 0, 1}));  // the dot takes line ends
}

TEST(TokenizerHostile, LongWordsOfARepeatedGroupPass) {
  EXPECT_EQ(encoded(split_at("(?:a|b)+"), std::string(2000, 'b')), std::vector<int32_t>(2000, 1));
}

// Each a becomes four, twenty times.
TEST(TokenizerHostile, RulesThatMakeMoreAndMoreOfATextAreStopped) {
  json grow = {{"type", "Sequence"}, {"normalizers", json::array()}}, undo = grow;
  undo["decoders"] = json::array();
  for (int i = 0; i < 20; ++i) {
    const json one = {{"type", "Replace"}, {"pattern", {{"String", "a"}}}, {"content", "aaaa"}};
    grow["normalizers"].push_back(one), undo["decoders"].push_back(one);
  }
  expect_error<InputError>([&] { encoded({{"normalizer", grow}}, "a"); }, {"make more than", "bytes of one text"});
  expect_error<InputError>([&] { encoded({{"decoder", undo}}, "a"); }, {"more than", "bytes"});
  const json once = {{"type", "Replace"}, {"pattern", {{"Regex", "a"}}}, {"content", std::string(60'000, 'b')}};
  expect_error<InputError>([&] { encoded({{"normalizer", once}}, std::string(1000, 'a')); }, {"make more than"});
}

TEST(TokenizerHostile, MetaspaceIsOneCharacter) {
  for (const char* mark : {"", "ab"})
    for (const char* stage : {"pre_tokenizer", "decoder"})
      expect_error<InputError>(
          [&] {
            encoded({{stage, {{"type", "Metaspace"}, {"replacement", mark}, {"prepend_scheme", "always"}}}}, "a b");
          },
          {"Metaspace", "one character"});
}

// A character map in which "a" becomes `to`.
std::string charsmap_of(const std::string& to) {
  std::vector<uint32_t> units(1024);
  const uint32_t node = 256 ^ 'a';
  units[0] = 256 << 10, units[node] = (node ^ 512) << 10 | 1 << 8 | 'a', units[512] = 1u << 31;
  const uint32_t size = uint32_t(4 * units.size());
  return std::string(reinterpret_cast<const char*>(&size), 4) +
         std::string(reinterpret_cast<const char*>(units.data()), size) + to + '\0';
}

TEST(TokenizerHostile, CharacterMapsAreUtf8) {
  EXPECT_EQ(charsmap_normalizer(charsmap_of("\u00e9"))(AlignedText("ab", 0)).text(), "\u00e9b");
  for (const char* broken : {"\xc3", "\xff", "\xe2\x82"})
    expect_error<InputError>([&] { charsmap_normalizer(charsmap_of(broken)); }, {"character map", "UTF-8"});
  std::string within = charsmap_of("\u00e9");  // the entry's string begins at the second byte
  within[4 + 4 * 512] = 1;
  expect_error<InputError>([&] { charsmap_normalizer(within)(AlignedText("a", 0)); }, {"within a character"});
}

// transformers 5 (BertTokenizer, GPT2Tokenizer): a named token that the vocabulary lacks counts as the unknown one.
TEST(TokenizerHostile, AnEmptySpecialTokenIsTheUnknownOne) {
  const TemporaryDirectory folder(testing::memory_folder());
  put_file(folder / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n");
  put_file(folder / "special_tokens_map.json", R"({"sep_token": ""})");
  EXPECT_EQ(load_tokenizer(folder.path())->encode("a", true), (std::vector<int32_t>{2, 4, 1}));
  put_file(folder / "special_tokens_map.json", R"({"unk_token": ""})");
  expect_error<InputError>([&] { load_tokenizer(folder.path()); }, {"vocab.txt", "unknown token"});
  put_file(folder / "vocab.json", R"({"a": 0, "<|endoftext|>": 1})");
  put_file(folder / "merges.txt", "");
  put_file(folder / "special_tokens_map.json", "{}");
  put_file(folder / "tokenizer_config.json", R"({"add_bos_token": true, "bos_token": ""})");
  EXPECT_EQ(load_tokenizer(folder.path())->encode("a", true), (std::vector<int32_t>{1, 0}));
}

// With work that is quadratic in their number this takes a minute and more.
TEST(TokenizerHostile, ManyAddedTokens) {
  const TemporaryDirectory folder(testing::memory_folder());
  json config = {{"additional_special_tokens", json::array()}, {"added_tokens_decoder", json::object()}};
  for (int i = 0; i < 60'000; ++i) {
    config["added_tokens_decoder"][std::to_string(2 + i)] = {{"content", "<" + std::to_string(i) + ">"}};
    config["additional_special_tokens"].push_back("[" + std::to_string(i) + "]");
  }
  put_file(folder / "vocab.json", R"({"a": 0, "<|endoftext|>": 1})");
  put_file(folder / "merges.txt", "");
  put_file(folder / "tokenizer_config.json", config.dump());
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->encode("a<59999>[59999]", false), (std::vector<int32_t>{0, 60'001, 120'001}));
}

// One long token must not make every place of a long word a search through its length, squared.
TEST(TokenizerHostile, LongTokensInLongWords) {
  const std::string word(8'000, 'a');
  const json model = {{"type", "WordPiece"},
                      {"vocab", {{"[UNK]", 0}, {"##" + word + "b", 1}, {"a", 2}, {"##a", 3}}},
                      {"unk_token", "[UNK]"},
                      {"max_input_chars_per_word", 1 << 30}};
  std::vector<int32_t> expected(word.size(), 3);
  expected[0] = 2;
  EXPECT_EQ(encoded({{"model", model}}, word), expected);
}

}  // namespace
}  // namespace cambium
