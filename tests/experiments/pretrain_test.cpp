// Token files: whole, intact, or refused; blocks of a stream without padding; ladder shapes; the program pretrain.
#include <cmath>

#include "experiments/lib/pretrain/ladder.h"
#include "experiments/lib/pretrain/token_file.h"
#include "experiments/lib/spent.h"
#include "experiments/lib/train_run.h"
#include "models/tokenizers/byte_alphabet.h"
#include "tests/support/command.h"
#include "tests/support/paths.h"

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

// Nothing can be learned from one token: no label, no token to mask but the text's end.
TEST(TokenBlocks, LeaveOutASingleTokenAtTheEnd) {
  const TemporaryDirectory folder;
  for (const auto& [tokens, blocks] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {2, 1}, {10, 1}, {11, 1}, {12, 2}, {20, 2}, {21, 2}, {22, 3}}) {
    TokenFile::write(folder / "a", counted(tokens), 1000);
    const TokenBlocks all({folder / "a"}, 10);
    EXPECT_EQ(all.size(), blocks) << tokens;
    EXPECT_EQ(int64_t(all[blocks - 1].ids.size()), tokens == 11 || tokens == 21 ? 10 : tokens - 10 * (blocks - 1));
  }
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

TEST(Spent, AddsUpSessions) {
  const auto session = [](int64_t start, int64_t steps) {
    TrainResult r;
    r.steps = start + steps, r.losses.resize(size_t(steps)), r.seconds = double(steps) / 2,
    r.tokens = double(steps) * 10;
    return r;
  };
  const TemporaryDirectory folder;
  EXPECT_EQ(Spent::read(folder.path()).steps, 0);
  Spent first = Spent().with(session(0, 4));
  first.peaks = {{"tensor_peak_bytes", 3e9}};
  first.write(folder.path());
  const Spent all = Spent::read(folder.path()).with(session(4, 2));
  EXPECT_EQ(all.peaks, first.peaks);
  EXPECT_EQ(all.steps, 6);
  EXPECT_EQ(all.seconds, 3);
  EXPECT_EQ(all.tokens, 60);
  EXPECT_EQ(all.with(session(6, 0)).steps, 6);           // it was complete
  EXPECT_EQ(all.with(session(3, 5)).steps, 5);           // three steps were lost with a checkpoint
  EXPECT_EQ(all.with(session(9, 1)).seconds_of(14), 7);  // a killed session took the clock of three along
  EXPECT_TRUE(std::isnan(Spent().seconds_of(3)));
}

class Pretrain : public Command {
 protected:
  // A tokenizer of bytes, and a text.
  void SetUp() override {
    nlohmann::json vocabulary;
    for (int byte = 0; byte < 256; ++byte) vocabulary[spelling_of_byte(uint8_t(byte))] = byte;
    vocabulary["<|endoftext|>"] = 256;
    std::filesystem::create_directory(folder / "bytes");
    put("bytes/vocab.json", vocabulary.dump());
    put("bytes/merges.txt", "#version: 0.2\n");
    put("bytes/tokenizer_config.json", R"({"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"})");
    std::string words;
    for (int i = 0; i < 100; ++i) words += "word " + std::to_string(i * 7 % 50) + "\n";
    put("words.txt", words);
  }
  ProcessResult pretrain(const std::vector<std::string>& more) const {
    std::vector<std::string> all{program_path("pretrain"),
                                 "--shape",
                                 "tiny",
                                 "--family",
                                 "gpt2",
                                 "--objective",
                                 "causal",
                                 "--tokenizer",
                                 folder / "bytes",
                                 "--text",
                                 folder / "words.txt",
                                 "--quiet"};
    all.insert(all.end(), more.begin(), more.end());
    return run_process(all, options());
  }
};

TEST_F(Pretrain, UnusableSizesLeaveNothingBehind) {
  const auto before = files();
  for (const auto& [option, value] : {std::pair{"--dev-blocks", "-1"},
                                      {"--batch-size", "0"},
                                      {"--epochs", "-2"},
                                      {"--steps", "-1"},
                                      {"--eval-every", "-1"},
                                      {"--save-every", "-1"},
                                      {"--shards", "-1"},
                                      {"--schedule", "steep"},
                                      {"--length", "4"},
                                      {"--length", "513"}}) {
    const ProcessResult r = pretrain({"--output", folder / "run", option, value});
    EXPECT_EQ(r.code, 2) << option << "\n" << r.err;
    EXPECT_NE(r.err.find(text(option, " ", value)), std::string::npos) << r.err;
    EXPECT_EQ(files(), before) << option;
  }
}

TEST_F(Pretrain, ResumedRunsKeepTheirResults) {
  const std::string run = folder / "run";
  const auto finish = [&] {
    const ProcessResult r = pretrain({"--output", run, "--steps", "6", "--length", "8", "--batch-size", "2",
                                      "--eval-every", "2", "--save-every", "2", "--dev-blocks", "3", "--resume"});
    ASSERT_EQ(r.code, 0) << r.err;
  };
  const auto results = [&] { return parse_json_file(run + "/pretraining.json"); };
  const auto model = [&] { return read_text_file(run + "/model/model.safetensors"); };
  finish();
  const nlohmann::json first = results();
  const std::string weights = model();
  ASSERT_EQ(first.at("dev").size(), 3u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(first.at("dev")[i].at("step"), 2 * (i + 1));
  EXPECT_GT(first.at("seconds").get<double>(), 0);

  const std::string bytes = read_text_file(run + "/pretraining.json");
  finish();  // nothing to do: nothing changes
  EXPECT_EQ(read_text_file(run + "/pretraining.json"), bytes);

  std::filesystem::rename(run + "/checkpoint.previous.h5", run + "/checkpoint.h5");  // step 4
  finish();
  EXPECT_EQ(results().at("dev"), first.at("dev"));
  EXPECT_TRUE(model() == weights);

  std::filesystem::remove(run + "/pretraining.json");  // killed behind its last checkpoint
  std::filesystem::remove_all(run + "/model");
  finish();
  EXPECT_EQ(results().at("dev"), first.at("dev"));
  EXPECT_TRUE(model() == weights);
  EXPECT_TRUE(file_exists(run + "/model/vocab.json"));

  // A run that starts anew from its own model: the old one is there until the new one is.
  const ProcessResult again =
      run_process({program_path("pretrain"), "--init", run + "/model", "--objective", "causal", "--text",
                   folder / "words.txt", "--length", "8", "--steps", "3", "--output", run, "--overwrite", "--quiet"},
                  options());
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(results().at("steps"), 3);
  EXPECT_FALSE(model() == weights);
  EXPECT_TRUE(file_exists(run + "/model/vocab.json"));
  for (const std::string& name : list_directory(run)) EXPECT_FALSE(name.starts_with("model.")) << name;
}

}  // namespace
}  // namespace cambium::testing
