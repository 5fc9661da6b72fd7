// Token files: whole, intact, or refused; blocks of a stream without padding; ladder shapes.
#include <cmath>

#include "experiments/lib/pretrain/ladder.h"
#include "experiments/lib/pretrain/token_file.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

// A token a byte.
class Bytes : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, bool special) const override {
    std::vector<int32_t> ids(text.size());
    for (size_t i = 0; i < text.size(); ++i) ids[i] = uint8_t(text[i]);
    if (special) ids.push_back(256);
    return ids;
  }
  Encoding encode_with_offsets(std::string_view, bool) const override { throw Error("not needed"); }
  std::string decode(std::span<const int32_t> ids, bool) const override {
    std::string text;
    for (const int32_t id : ids) text += char(id);
    return text;
  }
  int64_t vocabulary_size() const override { return 257; }
  std::optional<int32_t> find_token(std::string_view) const override { return std::nullopt; }
  const std::string& token(int32_t id) const override { return names_[size_t(id)]; }
  bool is_special(int32_t id) const override { return id == 256; }

 private:
  std::vector<std::string> names_ = std::vector<std::string>(257, "x");
};

std::vector<int32_t> counted(int64_t n) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back(int32_t(i * 7 % 1000));
  return ids;
}

TEST(TokenFile, KeepsTokensOfSmallAndLargeVocabularies) {
  const TemporaryDirectory folder;
  for (const int64_t vocabulary : {1000, 65536, 65537, 200000}) {
    const std::string path = folder / std::to_string(vocabulary);
    std::vector<int32_t> tokens = counted(100);
    tokens.push_back(int32_t(vocabulary - 1));
    TokenFile::write(path, tokens, vocabulary);
    const TokenFile file(path);
    EXPECT_EQ(file.vocabulary(), vocabulary);
    std::vector<int32_t> read;
    file.append_to(read, 0, file.size());
    EXPECT_EQ(read, tokens);
  }
  EXPECT_THROW(TokenFile::write(folder / "x", {5}, 5), Error);
  EXPECT_FALSE(file_exists(folder / "x"));
}

TEST(TokenFile, RefusesEveryDamage) {
  const TemporaryDirectory folder(memory_folder());
  const std::string good = folder / "good", bad = folder / "bad";
  TokenFile::write(good, counted(300), 1000);
  const std::string bytes = read_text_file(good);
  int refused = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    const std::string copy = damaged(bytes, seed);
    if (copy == bytes) continue;
    put_file(bad, copy);
    EXPECT_THROW(TokenFile{bad}, InputError) << seed;
    ++refused;
  }
  EXPECT_GT(refused, 300);
  put_file(bad, "");
  expect_error<InputError>([&] { TokenFile{bad}; }, {bad, "no token file"});
  put_file(bad, bytes.substr(0, bytes.size() - 1));
  expect_error<InputError>([&] { TokenFile{bad}; }, {"300 tokens", "599 bytes"});
}

TEST(Tokenized, IsDoneOnceForEachTextAndTokenizer) {
  const TemporaryDirectory folder;
  put_file(folder / "a.txt", "\xef\xbb\xbfOne.\r\n\r\nTwo\r\n");
  const Bytes tokenizer;
  const std::string path = tokenized(folder / "a.txt", folder / "tokens", tokenizer, 257, 256);
  std::vector<int32_t> read;
  const TokenFile file(path);
  file.append_to(read, 0, file.size());
  ASSERT_EQ(read.back(), 256);
  read.pop_back();
  EXPECT_EQ(tokenizer.decode(read, true), "One.\n\nTwo\n");
  EXPECT_EQ(tokenized(folder / "a.txt", folder / "tokens", tokenizer, 257, 256), path);
  EXPECT_NE(tokenized(folder / "a.txt", folder / "tokens", tokenizer, 257, -1), path);
  put_file(folder / "a.txt", "Three");
  EXPECT_NE(tokenized(folder / "a.txt", folder / "tokens", tokenizer, 257, 256), path);
  EXPECT_EQ(list_directory(folder / "tokens").size(), 3u);
  put_file(folder / "empty.txt", "");
  expect_error<InputError>([&] { tokenized(folder / "empty.txt", folder / "tokens", tokenizer, 257, 256); },
                           {"empty.txt", "no text"});
}

TEST(TokenBlocks, ReachOverFilesAndLoseNothing) {
  const TemporaryDirectory folder;
  const std::vector<int32_t> all = counted(1003);
  TokenFile::write(folder / "a", {all.begin(), all.begin() + 5}, 1000);
  TokenFile::write(folder / "b", {all.begin() + 5, all.begin() + 6}, 1000);
  TokenFile::write(folder / "c", {all.begin() + 6, all.end()}, 1000);
  const TokenBlocks blocks({folder / "a", folder / "b", folder / "c"}, 50);
  EXPECT_EQ(blocks.size(), 21);
  std::vector<int32_t> together;
  for (int64_t b = 0; b < blocks.size(); ++b) {
    const Sequence s = blocks[b];
    EXPECT_EQ(s.ids.size(), b == 20 ? 3u : 50u);
    together.insert(together.end(), s.ids.begin(), s.ids.end());
  }
  EXPECT_EQ(together, all);
  const Examples examples = examples_of(blocks, 2, 7);
  EXPECT_EQ(examples.size(), 5);
  EXPECT_EQ(examples[3].ids, blocks[5].ids);
  EXPECT_EQ(examples[3].index, 3);
  EXPECT_NE(examples.hash(), examples_of(blocks, 2, 8).hash());
  TokenFile::write(folder / "other", {1}, 999);
  expect_error<InputError>([&] { TokenBlocks({folder / "a", folder / "other"}, 50); }, {"other", "999", "1000"});
}

TEST(Ladder, HasItsSizes) {
  for (const auto& [size, millions] : {std::pair{"1m", 1.2}, {"3m", 3.4}, {"7m", 7.3}, {"16m", 16.8}}) {
    Model model(ladder_shape(size, "t5", 8192), DType::f32, Device::cpu(), Model::Storage::none);
    EXPECT_NEAR(double(model.parameter_count()) / 1e6, millions, 0.1 * millions) << size;
  }
  for (const char* family : {"t5", "bert", "gpt2", "bart"}) {
    Model model(ladder_shape("tiny", family, 300), DType::f32);
    initialize(model, 1);
    for (const NamedParameter& p : model.parameters()) {
      const Tensor v = p.value();
      for (int64_t i = 0; i < v.size(); ++i) ASSERT_TRUE(std::isfinite(v.data<float>()[i])) << p.name;
    }
  }
  expect_error<InputError>([] { ladder_shape("2m", "t5", 8192); }, {"--shape 2m", "1m"});
  expect_error<InputError>([] { ladder_shape("1m", "llama", 8192); }, {"--family llama", "gpt2"});
}

}  // namespace
}  // namespace cambium::testing
