// Tokenizers against transformers' (tests/golden/tokenizers, made by tools/golden/tokenization.py), broken UTF-8, long
// lines, spans, and files that lie.
#include "models/tokenizers/tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "models/tokenizers/charsmap.h"
#include "models/tokenizers/spiece.h"
#include "models/tokenizers/utf8.h"
#include "tests/support/files.h"
#include "tests/support/paths.h"

namespace cambium {
namespace {

using nlohmann::json;
using testing::damaged;
using testing::expect_error;
using testing::put_file;

const std::string kGolden = testing::source_path("tests/golden/tokenizers/");
const std::string kT5 = testing::source_path("experiments/data/t5/spiece.model");

std::unique_ptr<const Tokenizer> golden_tokenizer(const std::string& name) {
  if (name != "t5") return load_tokenizer(kGolden + name);
  const TemporaryDirectory folder;
  std::filesystem::copy_file(kT5, folder / "spiece.model");
  std::filesystem::copy_file(kGolden + "t5/config.json", folder / "config.json");
  return load_tokenizer(folder.path());
}

class GoldenTokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenTokenizer, GivesTheIdsAndTextsOfTransformers) {
  const auto tokenizer = golden_tokenizer(GetParam());
  const json texts = parse_json_file(kGolden + "texts.json"),
             cases = parse_json_file(kGolden + GetParam() + "/cases.json");
  ASSERT_EQ(texts.size(), cases["ids"].size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string text = texts[i];
    SCOPED_TRACE(brief(texts[i]));
    const std::vector<int32_t> ids = tokenizer->encode(text, true), expected = cases["ids"][i];
    ASSERT_EQ(ids, expected);
    std::vector<int32_t> plain = tokenizer->encode(text, false);
    plain.resize(std::min<size_t>(plain.size(), 4));
    EXPECT_EQ(json(plain), cases["plain_first"][i]);
    // transformers replaces what is no UTF-8.
    for (const bool skip : {false, true}) {
      const std::string decoded = tokenizer->decode(ids, skip);
      if (is_utf8(decoded)) {
        EXPECT_EQ(decoded, cases[skip ? "skipped" : "decoded"][i].get<std::string>());
      }
    }
    const Encoding encoding = tokenizer->encode_with_offsets(text, true);
    EXPECT_EQ(encoding.ids, ids);
    ASSERT_EQ(encoding.spans.size(), ids.size());
    if (cases["spans"].empty()) continue;
    json spans = json::array();
    for (const ByteRange r : encoding.spans) spans.push_back({r.begin, r.end});
    EXPECT_EQ(spans, cases["spans"][i]);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, GoldenTokenizer,
                         ::testing::Values("gpt2", "roberta", "smollm", "llama3", "unigram", "t5", "bert_uncased",
                                           "bert_cased"),
                         [](const auto& info) { return std::string(info.param); });

const std::string kBroken = "caf\xC3 \xFF\xFE ok\xE2\x82 \xF0\x9F\x98 \xED\xA0\x80 \xC0\xAF end\x80";

TEST(TokenizerBytes, ByteLevelKeepsWhatIsNoUtf8) {
  for (const char* name : {"gpt2", "smollm"}) {
    const auto tokenizer = golden_tokenizer(name);
    const Encoding e = tokenizer->encode_with_offsets(kBroken, false);
    EXPECT_EQ(tokenizer->decode(e.ids, false), kBroken);
    size_t at = 0;
    for (const ByteRange span : e.spans) {
      EXPECT_EQ(span.begin, at);
      at = span.end;
    }
    EXPECT_EQ(at, kBroken.size());
    std::string all;
    for (int b = 0; b < 256; ++b) all += char(b);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(all, false), false), all);
  }
}

TEST(TokenizerBytes, AByteWithoutATokenIsReplaced) {
  json j = parse_json_file(kGolden + "smollm/tokenizer.json");
  const std::string missing = "\xC3\xBF";  // U+00FF spells byte 0xFF
  json& vocabulary = j["model"]["vocab"];
  vocabulary["unused"] = vocabulary.at(missing);
  vocabulary.erase(missing);
  const TemporaryDirectory folder;
  put_file(folder / "tokenizer.json", j.dump());
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\xFF\xFE", false), false), "a\xEF\xBF\xBD\xFE");
}

TEST(TokenizerBytes, OthersSeeAReplacementForEachBadByte) {
  for (const char* name : {"t5", "unigram", "bert_cased"}) {
    const auto tokenizer = golden_tokenizer(name);
    EXPECT_EQ(tokenizer->encode(kBroken, true), tokenizer->encode(valid_utf8(kBroken), true)) << name;
  }
}

TEST(TokenizerBytes, AWholeCharacterIsNeverReplaced) {
  EXPECT_EQ(valid_utf8("a\xEF\xBF\xBD\xF4\x8F\xBF\xBF"), "a\xEF\xBF\xBD\xF4\x8F\xBF\xBF");
  EXPECT_EQ(valid_utf8("\xF4\x90\x80\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

// A million bytes without a blank, or of nothing else: quadratic work would take hours.
TEST(TokenizerLongLines, AreReadInOneGo) {
  const size_t size = 1 << 20;
  std::string letters, emoji;
  for (size_t i = 0; i < size; ++i) letters += char('a' + i * i % 23 % 19);
  while (emoji.size() < size) emoji += "😀";
  for (const char* name : {"gpt2", "llama3", "t5", "bert_uncased"}) {
    const auto tokenizer = golden_tokenizer(name);
    for (const std::string& line : {letters, emoji, std::string(size, ' '), std::string(size, 'a')}) {
      const std::vector<int32_t> ids = tokenizer->encode(line, false);
      if (name[0] == 'g' || name[0] == 'l') {  // bytes come back
        EXPECT_EQ(tokenizer->decode(ids, false), line) << name;
      } else if (line[0] == ' ') {
        EXPECT_TRUE(ids.empty()) << name;
      } else if (name[0] == 'b') {  // one word that is far too long
        EXPECT_EQ(ids, (std::vector<int32_t>{*tokenizer->find_token("[UNK]")})) << name;
      } else if (line == emoji) {  // neighbours that are unknown are one token
        EXPECT_EQ(ids.back(), *tokenizer->find_token("<unk>")) << name;
        EXPECT_LE(ids.size(), 2u) << name;
      } else {
        EXPECT_EQ(tokenizer->decode(ids, false), line) << name;
      }
    }
  }
}

TEST(TokenizerText, IsNeitherSpecialNorMissing) {
  const auto t5 = golden_tokenizer("t5");
  for (const char* special : {"<pad>", "</s>", "<unk>", "<extra_id_0>", "<extra_id_99>"})
    EXPECT_FALSE(t5->is_text(t5->find_token(special).value())) << special;
  EXPECT_TRUE(t5->is_text(t5->encode("house", false)[0]));
  EXPECT_EQ(t5->vocabulary_size(), 32100);  // models have 32128 rows
  for (const int32_t id : {-1, 32100, 32127}) EXPECT_FALSE(t5->is_text(id)) << id;
  const auto bert = golden_tokenizer("bert_uncased");
  for (const char* special : {"[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]"})
    EXPECT_FALSE(bert->is_text(bert->find_token(special).value())) << special;
}

TEST(TokenizerSpans, AreTheBytesOfEachToken) {
  const std::string text = "The café,  naïve <mask> people";
  const auto roberta = golden_tokenizer("roberta");
  const Encoding e = roberta->encode_with_offsets(text, true);
  EXPECT_EQ(e.spans.front(), (ByteRange{0, 0}));
  EXPECT_EQ(e.spans.back(), (ByteRange{0, 0}));
  for (size_t i = 1; i + 1 < e.ids.size(); ++i) {
    const std::string token = roberta->decode(std::vector<int32_t>{e.ids[i]}, false);
    const std::string span = text.substr(e.spans[i].begin, e.spans[i].end - e.spans[i].begin);
    if (roberta->token(e.ids[i]) == "<mask>") {
      EXPECT_EQ(span, " <mask>");  // takes the blank on its left
    } else {
      EXPECT_EQ(span, token.substr(std::min(token.find_first_not_of(' '), token.size())));
    }
  }
  // Accents go with the letter they were on.
  const auto bert = golden_tokenizer("bert_uncased");
  const Encoding b = bert->encode_with_offsets("xx e\u0301 b", false);
  EXPECT_EQ(b.spans[b.spans.size() - 2], (ByteRange{3, 4}));
}

// A line's end is one character, and becomes one blank, wherever it stands.
TEST(TokenizerT5, TakesCrLfForOneCharacter) {
  const Normalizer normalize = charsmap_normalizer(read_sentencepiece(read_text_file(kT5, 1 << 24)).charsmap);
  const auto normal = [&](const std::string& text) { return normalize(AlignedText(text, 0)).text(); };
  EXPECT_EQ(normal("\r\n"), " ");
  EXPECT_EQ(normal("e\r\n"), "e ");
  EXPECT_EQ(normal("\u00e9\r\n"), "\u00e9 ");
  EXPECT_EQ(normal("\u00e9\r\n\u00e9\r\r\n"), "\u00e9 \u00e9  ");
}

TEST(TokenizerT5, HasItsHundredSentinels) {
  const auto t5 = golden_tokenizer("t5");
  EXPECT_EQ(t5->vocabulary_size(), 32100);
  EXPECT_EQ(t5->find_token("<extra_id_0>"), 32099);
  EXPECT_EQ(t5->find_token("<extra_id_99>"), 32000);
  EXPECT_FALSE(t5->find_token("<extra_id_100>"));
  EXPECT_TRUE(t5->is_special(32050));
  EXPECT_EQ(t5->encode("<extra_id_0>", true), (std::vector<int32_t>{32099, 1}));
}

GgufVocabulary small_gguf() {
  const json j = parse_json_file(kGolden + "smollm/tokenizer.json");
  GgufVocabulary v{.model = "gpt2", .pre = "smollm"};
  v.tokens.resize(j["model"]["vocab"].size());
  for (const auto& [token, id] : j["model"]["vocab"].items()) v.tokens[id.get<size_t>()] = token;
  for (const json& merge : j["model"]["merges"])
    v.merges.push_back(merge.is_string() ? merge.get<std::string>()
                                         : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  v.token_type.assign(v.tokens.size(), 1);
  for (size_t id = 0; id < 3; ++id) v.token_type[id] = 3;
  return v;
}

TEST(TokenizerGguf, AgreesWithTokenizerJson) {
  const auto gguf = make_gguf_tokenizer(small_gguf()), file = golden_tokenizer("smollm");
  for (const std::string text : parse_json_file(kGolden + "texts.json"))
    if (text.find("ADDED") == text.npos) {
      EXPECT_EQ(gguf->encode(text, false), file->encode(text, false)) << text;
    }
}

TEST(TokenizerGguf, IsTheSameAsTokenizerJson) {
  const json texts = parse_json_file(kGolden + "texts.json");
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "falcon", "default", "roberta-bpe"})
    for (const auto& [bos, eos] : std::vector<std::pair<std::optional<bool>, std::optional<bool>>>{
             {{}, {}}, {true, true}, {false, true}, {true, false}}) {
      GgufVocabulary v = small_gguf();
      v.pre = pre, v.bos_token_id = 1, v.eos_token_id = 2, v.add_bos_token = bos, v.add_eos_token = eos;
      v.token_type[200] = 4;
      const TemporaryDirectory folder;
      put_file(folder / "tokenizer.json", gguf_tokenizer_json(v));
      const auto gguf = make_gguf_tokenizer(v), file = load_tokenizer(folder.path());
      for (const std::string text : texts)
        EXPECT_EQ(gguf->encode(text, true), file->encode(text, true)) << pre << ": " << text;
      for (const std::string text : {"4711 1234567 it'S  we'LL <=>`~", "a\r\n\n b \xD9\xA1\xD9\xA2\xD9\xA3\xD9\xA4"})
        EXPECT_EQ(gguf->encode(text, true), file->encode(text, true)) << pre << ": " << text;
    }
}

TEST(TokenizerGguf, NamesWhatItCannotUse) {
  const auto with = [](auto change) {
    return [change] {
      GgufVocabulary v = small_gguf();
      change(v);
      make_gguf_tokenizer(v);
    };
  };
  expect_error<InputError>(with([](auto& v) { v.model = "llama"; }), {"tokenizer.ggml.model", "llama"});
  expect_error<InputError>(with([](auto& v) { v.pre = "tekken"; }), {"tokenizer.ggml.pre", "tekken", "smollm"});
  expect_error<InputError>(with([](auto& v) { v.merges[3] = "nothing"; }), {"merge 3", "nothing"});
  expect_error<InputError>(with([](auto& v) { v.merges[3] = "Q zz"; }), {"merge 3", "zz"});
  expect_error<InputError>(with([](auto& v) { v.tokens[9] = v.tokens[8]; }), {"two ids", "8", "9"});
  expect_error<InputError>(with([](auto& v) { v.token_type.pop_back(); }), {"token_type"});
  expect_error<InputError>(with([](auto& v) { v.tokens.push_back("\xC3"), v.token_type.push_back(4); }),
                           {"tokens[", "an added token", "not UTF-8"});
  expect_error<InputError>(with([](auto& v) { v.add_bos_token = true; }), {"bos_token_id", "missing"});
  expect_error<InputError>(with([](auto& v) { v.add_bos_token = true, v.bos_token_id = 99999; }),
                           {"bos_token_id", "99999"});
}

// tokenizer.json decides what stands around a text; transformers drops these settings beside it.
TEST(TokenizerSettings, FlagsChangeNothingBesideTokenizerJson) {
  for (const bool around : {false, true})
    for (const auto& [bos, eos] : {std::pair(true, false), {false, true}, {false, false}, {true, true}}) {
      json j = parse_json_file(kGolden + "smollm/tokenizer.json");
      const std::string sign = j["added_tokens"][1]["content"];
      j["post_processor"] = nullptr;
      if (around)
        j["post_processor"] = {
            {"type", "TemplateProcessing"},
            {"single",
             {{{"SpecialToken", {{"id", sign}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
            {"pair", {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}}},
            {"special_tokens", {{sign, {{"id", sign}, {"ids", {1}}, {"tokens", {sign}}}}}}};
      const TemporaryDirectory folder;
      put_file(folder / "tokenizer.json", j.dump());
      put_file(folder / "tokenizer_config.json",
               json{{"bos_token", sign}, {"eos_token", sign}, {"add_bos_token", bos}, {"add_eos_token", eos}}.dump());
      const auto tokenizer = load_tokenizer(folder.path());
      std::vector<int32_t> expected = tokenizer->encode("hi", false);
      if (around) expected.insert(expected.begin(), 1);
      EXPECT_EQ(tokenizer->encode("hi", true), expected) << around << bos << eos;
    }
}

// A tokenizer.json of smollm with one change.
template <class F>
auto changed(const F& change) {
  return [change] {
    json j = parse_json_file(kGolden + "smollm/tokenizer.json");
    change(j);
    const TemporaryDirectory folder;
    put_file(folder / "tokenizer.json", j.dump());
    load_tokenizer(folder.path());
  };
}

TEST(TokenizerFiles, NameWhatIsWrong) {
  expect_error<InputError>(changed([](json& j) { j["model"]["vocab"]["!"] = 1; }), {"tokenizer.json", "same id 1"});
  expect_error<InputError>(changed([](json& j) { j["model"]["vocab"]["zzzz"] = 100000; }),
                           {"no token has the id", "zzzz", "100000"});
  expect_error<InputError>(changed([](json& j) { j["model"]["vocab"]["zzzz"] = 1e30; }), {"zzzz"});
  expect_error<InputError>(changed([](json& j) { j["model"]["vocab"]["zzzz"] = -1; }), {"zzzz", "-1"});
  expect_error<InputError>(changed([](json& j) { j["model"]["vocab"] = 7; }), {"vocab", "7"});
  expect_error<InputError>(changed([](json& j) { j["model"]["merges"].push_back("zz qq"); }),
                           {"zz", "not in the vocabulary"});
  expect_error<InputError>(changed([](json& j) { j["model"]["merges"].push_back(5); }), {"merge", "5"});
  expect_error<InputError>(changed([](json& j) { j["model"]["dropout"] = 0.1; }), {"dropout"});
  expect_error<InputError>(changed([](json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }), {"end_of_word_suffix"});
  expect_error<InputError>(changed([](json& j) { j["model"]["type"] = "WordLevel"; }), {"WordLevel", "not supported"});
  expect_error<InputError>(changed([](json& j) {
                             j["normalizer"] = {{"type", "Nmt"}};
                           }),
                           {"normalizer Nmt", "not supported"});
  expect_error<InputError>(changed([](json& j) { j["pre_tokenizer"]["pretokenizers"][0]["type"] = "UnicodeScripts"; }),
                           {"pre-tokenizer UnicodeScripts"});
  expect_error<InputError>(changed([](json& j) { j["decoder"] = {{"type", "CTC"}}; }), {"decoder CTC"});
  expect_error<InputError>(changed([](json& j) {
                             j["post_processor"] = {{"type", "Other"}};
                           }),
                           {"post-processor Other"});
  expect_error<InputError>(changed([](json& j) { j["added_tokens"][0]["id"] = 5; }), {"<|endoftext|>", "5"});
  expect_error<InputError>(changed([](json& j) { j["added_tokens"][3]["id"] = 5000; }),
                           {"ADDED", "5000", "next free id"});
  expect_error<InputError>(
      changed([](json& j) {
        j["pre_tokenizer"] = {{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}};
      }),
      {"(a"});
  const TemporaryDirectory empty;
  expect_error<InputError>([&] { load_tokenizer(empty.path()); }, {empty.path(), "tokenizer.json"});
  put_file(empty / "vocab.json", "{}");
  expect_error<InputError>([&] { load_tokenizer(empty.path()); }, {"merges.txt"});
  put_file(empty / "merges.txt", "#version: 0.2\na b c\n");
  expect_error<InputError>([&] { load_tokenizer(empty.path()); }, {"merges.txt:2", "a b c"});
}

// Damaged files are refused or read; nothing else happens.
TEST(TokenizerFiles, SurviveDamage) {
  struct File {
    const char* name;
    std::string bytes;
  };
  const std::string spiece = read_text_file(kT5);
  for (const File& file : {File{"tokenizer.json", read_text_file(kGolden + "unigram/tokenizer.json")},
                           {"vocab.txt", read_text_file(kGolden + "bert_cased/vocab.txt")},
                           {"spiece.model", spiece.substr(0, 4000) + spiece.substr(spiece.size() - 237000)}}) {
    const TemporaryDirectory folder(testing::memory_folder());
    for (uint32_t seed = 0; seed < 60; ++seed) {
      put_file(folder / file.name, damaged(file.bytes, seed));
      try {
        const auto tokenizer = load_tokenizer(folder.path());
        tokenizer->decode(tokenizer->encode("some text, é 中文 e\u0301 <unk>", true), true);
      } catch (const InputError&) {
      }
    }
  }
}

}  // namespace
}  // namespace cambium
