// cambium tokenize, train and evaluate on a task, generate and score: a model of bytes and two files of text.
#include <set>

#include "tests/support/byte_model.h"
#include "tests/support/command.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

class TextCommand : public Command {
 protected:
  void SetUp() override { write_byte_model(model); }
  std::vector<std::string> lines(const std::string& text) const {
    std::vector<std::string> all;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) all.push_back(line);
    return all;
  }
  const std::string model = folder / "bytes";
};

// What generation_config.json asks for is what options of the same meaning do; options go before it.
TEST_F(TextCommand, GenerateDoesWhatTheModelsSettingsAsk) {
  const std::vector<std::string> generate{"generate", "--model", model, "--dtype", "f32", "--max-new-tokens", "12"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), generate.begin(), generate.end());
    return good(more, {.input = "the cat\nand the dog\n"});
  };
  const std::string greedy = with({}).out, beams = with({"--beam", "3", "--no-repeat-ngram", "2"}).out;
  ASSERT_NE(greedy, beams);
  put("bytes/generation_config.json", R"({"num_beams": 3, "no_repeat_ngram_size": 2, "repetition_penalty": 1.5})");
  const ProcessResult own = with({});
  EXPECT_EQ(own.out, beams);
  for (const char* part :
       {"note: ", "num_beams = 3", "no_repeat_ngram_size = 2", "warning: ", "repetition_penalty = 1.5"})
    EXPECT_NE(own.err.find(part), std::string::npos) << own.err;
  const ProcessResult ignored = with({"--ignore-settings"});
  EXPECT_EQ(ignored.out, greedy);
  EXPECT_EQ(ignored.err.find("num_beams"), std::string::npos) << ignored.err;
  EXPECT_EQ(with({"--beam", "1", "--no-repeat-ngram", "0"}).out, greedy);
  good({"convert", model, folder / "bytes.h5", "--quiet"});  // they go with the model
  std::vector<std::string> ours = generate;
  ours[2] = folder / "bytes.h5";
  EXPECT_EQ(good(ours, {.input = "the cat\nand the dog\n"}).out, beams);
  put("bytes/generation_config.json", R"({"do_sample": true, "temperature": 0.7, "top_k": 5})");
  EXPECT_EQ(with({}).out, with({"--temperature", "0.7", "--top-k", "5", "--ignore-settings"}).out);
  EXPECT_EQ(with({"--beam", "1"}).out, greedy);
}

// More tokens than rows: only a text that uses one of them is refused.
TEST_F(TextCommand, ATokenizerMayHaveMoreTokensThanTheModelRows) {
  const std::vector<std::string> generate{"generate", "--model", model, "--dtype", "f32", "--max-new-tokens", "3"};
  const std::string before = good(generate, {.input = "hello\n"}).out;
  put("bytes/added_tokens.json", R"({"<|user|>": 257})");
  EXPECT_EQ(good(generate, {.input = "hello\n"}).out, before);
  bad(generate, {"standard input:2", "<|user|>", "257"}, 2, {.input = "hello\n<|user|>hello\n"});
}

// Ids need no tokenizer: one that cannot be read is an error where a text is.
TEST_F(TextCommand, ATokenizerThatCannotBeUsedStopsTextsAlone) {
  put("bytes/tokenizer.json", R"({"model": {"type": "WordLevel", "vocab": {}}})");
  batch();
  good({"forward", "--model", model, "--input", folder / "batch.json", "--output", folder / "o.h5"});
  good({"train", "--model", model, "--batches", folder / "batch.json", "--tuner", "lora", "--steps", "1", "--no-eval",
        "--output", folder / "run", "--quiet"});
  bad({"generate", "--model", model}, {"tokenizer.json", "WordLevel"}, 2, {.input = "a\n"});
  bad({"tokenize", "--model", model}, {"tokenizer.json", "WordLevel"}, 2, {.input = "a\n"});
}

TEST_F(TextCommand, TokenizeThereAndBack) {
  const std::string text = "Hi\n\"a\\nb\"\n\n\xc3\xa9\xff!\nsaid \"so\"\n";
  const ProcessResult ids = good({"tokenize", "--model", model}, {.input = text});
  EXPECT_EQ(ids.out, "[72, 105]\n[97, 10, 98]\n[]\n[195, 169, 255, 33]\n[115, 97, 105, 100, 32, 34, 115, 111, 34]\n");
  const ProcessResult back = good({"tokenize", "--model", model, "--decode"}, {.input = ids.out});
  EXPECT_EQ(back.out, "Hi\na\nb\n\n\xc3\xa9\xff!\nsaid \"so\"\n");
  put("text", text);
  good({"tokenize", "--model", model, "--input", folder / "text", "--output", folder / "ids"});
  EXPECT_EQ(read_text_file(folder / "ids"), ids.out);
  for (const char* line : {"[1, 257]", "[1, -1]", "[1.5]", "1", "[1", "[\"a\"]"})
    bad({"tokenize", "--model", model, "--decode"}, {"standard input", "1"}, 2, {.input = line});
  bad({"tokenize", "--model", gpt2}, {gpt2, "no tokenizer"}, 2, {.input = "x"});
  EXPECT_EQ(good({"tokenize", "--model", model}, {.input = "\xef\xbb\xbf" + text}).out, ids.out);  // a mark is no text
  bad({"tokenize", "--model", model}, {"standard input", "UTF-16"}, 2, {.input = "\xff\xfeh"});
  bad({"tokenize", "--model", model, "--input", folder / "none"}, {"none"});
  bad({"tokenize", "--model", model, "--input", folder.path()}, {folder.path(), "directory"});
}

TEST_F(TextCommand, TrainEvaluateGenerateScore) {
  const std::vector<std::string> train{
      "train",  "--model", model,     "--tuner",  "prefix",       "--option", "length=4",
      "--task", "e2e",     "--limit", "12",       "--batch-size", "4",        "--epochs",
      "2",      "--dtype", "f32",     "--output", folder / "run", "--json",   "--quiet"};
  const json summary = json_of(good(train));
  EXPECT_EQ(summary.at("steps"), 6);
  EXPECT_EQ(summary.at("trainable"), 2 * 2 * 4 * 2 * 8);
  for (const char* name : {"checkpoint.h5", "best.h5", "config.json", "log.jsonl"})
    EXPECT_TRUE(file_exists(folder / "run/" + name)) << name;
  const std::string tuner = folder / "run/checkpoint.h5";
  EXPECT_EQ(json_of(good({"inspect", tuner, "--check", "--json"})).at("golden").at("status"), "good");

  const std::vector<std::string> evaluate{"evaluate", "--model", model,     "--tuner",  tuner,
                                          "--task",   "e2e",     "--limit", "3",        "--max-new-tokens",
                                          "12",       "--dtype", "f32",     "--output", folder / "evaluation",
                                          "--json",   "--quiet"};
  const json scores = json_of(good(evaluate));
  for (const char* name : {"bleu", "nist", "meteor", "rouge_l", "cider"})
    EXPECT_TRUE(scores.at(name).is_number()) << name;
  EXPECT_EQ(scores.at("inputs"), 3);
  const auto outputs = lines(read_text_file(folder / "evaluation/outputs.txt"));
  EXPECT_EQ(outputs.size(), 3u);
  bad(evaluate, {"evaluation", "not empty", "--overwrite"});
  auto again = evaluate;
  again.push_back("--overwrite");
  EXPECT_EQ(json_of(good(again)).at("bleu"), scores.at("bleu"));

  // The files score as the command said.
  const json scored = json_of(good({"score", "--metric", "e2e", "--references", folder / "evaluation/references.txt",
                                    "--outputs", folder / "evaluation/outputs.txt"}));
  for (const auto& [name, value] : scored.items()) EXPECT_EQ(value, scores.at(name)) << name;

  const std::vector<std::string> generate{"generate",         "--model", model,     "--tuner", tuner,
                                          "--max-new-tokens", "6",       "--dtype", "f32",     "--quiet"};
  const ProcessResult greedy = good(generate, {.input = "name[Blue]\nfood[French], area[city]\n"});
  ASSERT_EQ(lines(greedy.out).size(), 2u);
  for (const std::string& line : lines(greedy.out)) {
    const json j = json::parse(line);
    EXPECT_LE(j.at("ids").size(), 6u);
    EXPECT_LT(j.at("score").get<double>(), 0);
    EXPECT_TRUE(j.at("text").is_string());
  }
  auto alone = generate;
  alone.insert(alone.end(), {"--batch-size", "1"});
  EXPECT_EQ(good(alone, {.input = "name[Blue]\nfood[French], area[city]\n"}).out, greedy.out);
  auto beams = generate;
  beams.insert(beams.end(), {"--beam", "3", "--num-results", "3", "--format", "text", "--output", folder / "beams"});
  good(beams, {.input = "name[Blue]\n"});
  EXPECT_EQ(lines(read_text_file(folder / "beams")).size(), 3u);
  auto sampled = generate;
  sampled.insert(sampled.end(), {"--temperature", "1.5", "--seed", "4"});
  const std::string once = good(sampled, {.input = "name[Blue]\n"}).out;
  EXPECT_EQ(good(sampled, {.input = "name[Blue]\n"}).out, once);
  sampled.insert(sampled.end(), {"--num-results", "4"});
  const std::vector<std::string> four = lines(good(sampled, {.input = "name[Blue]\n"}).out);
  ASSERT_EQ(four.size(), 4u);
  EXPECT_EQ(four[0] + "\n", once);
  EXPECT_EQ(std::set<std::string>(four.begin(), four.end()).size(), 4u);
}

// Each line is written by the tuner that it names, by number or name, as if alone.
TEST_F(TextCommand, GenerateMixesTuners) {
  const auto trained = [&](const std::string& name, const std::string& tuner) {
    good({"train",  "--model",   model,     "--tuner", tuner,      "--option",    "init=random",
          "--task", "e2e",       "--limit", "8",       "--steps",  "2",           "--lr",
          "0.5",    "--no-eval", "--dtype", "f32",     "--output", folder / name, "--quiet"});
    return folder / name + "/tuner.h5";
  };
  const std::string a = trained("a", "prefix"), b = trained("b", "prompt");
  const auto arguments = [&](const std::vector<std::string>& tuners) {
    std::vector<std::string> all{"generate", "--model", model, "--max-new-tokens", "6", "--dtype", "f32", "--quiet"};
    for (const std::string& t : tuners) all.insert(all.end(), {"--tuner", t});
    return all;
  };
  const auto written = [&](const std::vector<std::string>& tuners, const std::string& input) {
    std::vector<json> all;
    for (const std::string& line : lines(good(arguments(tuners), {.input = input}).out))
      all.push_back(json::parse(line));
    return all;
  };
  const json first = written({a}, "name[Blue]\n")[0], second = written({b}, "name[Blue]\n")[0],
             base = written({}, "name[Blue]\n")[0];
  EXPECT_NE(first, second);
  EXPECT_NE(first, base);
  const auto mixed = written({a, "other=" + b}, R"(name[Blue]
{"text": "name[Blue]", "tuner": "other"}
{"tuner": -1, "text": "name[Blue]"}
"name[Blue]"
{"text": "name[Blue]", "tuner": 1}
{"text": "name[Blue]"}
)");
  ASSERT_EQ(mixed.size(), 6u);
  const std::vector<std::pair<const json*, json>> expected = {{&first, 0}, {&second, "other"}, {&base, -1},
                                                              {&first, 0}, {&second, "other"}, {&first, 0}};
  for (size_t i = 0; i < mixed.size(); ++i) {
    json result = *expected[i].first;
    result["tuner"] = expected[i].second;
    EXPECT_EQ(mixed[i], result) << i;
  }
  EXPECT_EQ(written({a}, R"({"text": "name[Blue]", "tuner": -1})")[0], base);
  EXPECT_EQ(written({a}, R"({"name": "a text that begins with a brace"})").size(), 1u);

  const auto refused = [&](const std::vector<std::string>& tuners, const std::string& input,
                           std::initializer_list<std::string_view> parts) {
    bad(arguments(tuners), parts, 2, {.input = input});
  };
  refused({a, b}, "x\n{\"text\": \"x\", \"tuner\": 2}\n", {"standard input:2", "tuner", "2", "2 tuners"});
  refused({a, b}, R"({"text": "x", "tuner": -2})", {"standard input:1", "-2"});
  refused({a, b}, R"({"text": "x", "tuner": 18446744073709551615})", {"18446744073709551615"});
  refused({a, "n=" + b}, R"({"text": "x", "tuner": "m"})", {"\"m\"", "no --tuner has that name"});
  refused({a, b}, R"({"text": "x", "tuner": ""})", {"no --tuner has that name"});
  refused({a}, R"({"text": 5})", {"standard input:1", "text = 5"});
  refused({a}, R"({"text": "x", "prompt": 1})", {"standard input:1", "prompt"});
  refused({a}, R"({"text": "x", "tuner": 0, "tuner": -1})", {"standard input:1", "tuner"});
  refused({}, R"({"text": "x", "tuner": 0})", {"standard input:1", "0 tuners"});
  refused({"n=" + a, "n=" + b}, "x\n", {"two tuners of that name"});
  refused({"=" + a}, "x\n", {"name is empty"});
  refused({"1=" + a}, "x\n", {"must not be a number"});
  refused({a, "n=" + (folder / "none.h5")}, "x\n", {"none.h5"});
}

TEST_F(TextCommand, BadInput) {
  const auto generate = [&](const std::vector<std::string>& more, const std::string& input,
                            std::initializer_list<std::string_view> parts) {
    std::vector<std::string> all{"generate", "--model", model, "--quiet"};
    all.insert(all.end(), more.begin(), more.end());
    bad(all, parts, 2, {.input = input});
  };
  generate({}, "", {"standard input", "no lines"});
  generate({}, "a\n\nb\n", {"standard input:2", "empty"});
  generate({"--format", "xml"}, "a\n", {"--format xml"});
  generate({"--max-new-tokens", "0"}, "a\n", {"--max-new-tokens"});
  generate({"--max-new-tokens", "600"}, "a\n", {"positions"});
  generate({"--batch-size", "0"}, "a\n", {"--batch-size"});
  generate({"--no-repeat-ngram", "-1"}, "a\n", {"--no-repeat-ngram -1"});
  generate({"--beam", "0"}, "a\n", {"beams"});
  generate({"--num-results", "2"}, "a\n", {"--num-results 2"});
  generate({"--beam", "2", "--top-k", "3"}, "a\n", {"--beam 2", "sampling"});
  generate({"--temperature", "0"}, "a\n", {"temperature"});
  generate({"--temperature", "nan"}, "a\n", {"temperature"});
  generate({"--top-p", "1.5"}, "a\n", {"top-p"});
  generate({"--forbid", "a"}, "a\n", {"--forbid a"});
  generate({"--forbid", "999"}, "a\n", {"999"});
  generate({}, std::string(600, 'x') + "\n", {"600", "512"});
  bad({"generate", "--model", bert, "--quiet"}, {bert}, 2, {.input = "a\n"});
  bad({"train", "--model", gpt2, "--tuner", "lora", "--task", "e2e", "--output", folder / "r"}, {gpt2, "tokenizer"});
  bad({"train", "--model", model, "--tuner", "lora", "--task", "e2e", "--data", folder / "none", "--output",
       folder / "r"},
      {"none"});
  std::filesystem::create_directory(folder / "e2e");
  put("e2e/trainset.csv", "mr,ref\n\"name[x]");
  put("e2e/devset.csv", "mr,ref\nname[x],x is\n");
  bad({"train", "--model", model, "--tuner", "lora", "--task", "e2e", "--data", folder / "e2e", "--output",
       folder / "r"},
      {"trainset.csv"});
  bad({"evaluate", "--model", model, "--task", "e2e", "--split", "train", "--output", folder / "r"}, {"train"});
  bad({"evaluate", "--model", model, "--task", "e2e", "--limit", "-1", "--output", folder / "r"}, {"--limit -1"});
  std::filesystem::create_directory(folder / "sst2");
  put("sst2/dev.tsv", "sentence\tlabel\ngood\t1\n");
  for (const char* size : {"0", "-1"})  // of texts and of classes
    for (const std::string task : {"e2e", "sst2"}) {
      std::vector<std::string> all{"evaluate", "--model",  model,        "--task",       task, "--split",
                                   "dev",      "--output", folder / "r", "--batch-size", size};
      if (task == "sst2") all.insert(all.end(), {"--data", folder / "sst2"});
      bad(all, {"--batch-size"});
    }
  put("refs", "a b c\n\nd e f\n"), put("outs", "a b c\n");
  bad({"score", "--metric", "bleu", "--references", folder / "refs", "--outputs", folder / "outs"}, {"2", "1"});
  // A tokenizer that is larger than the model's table: only a text that has such a token is refused.
  put("bytes/added_tokens.json", R"({"<more>": 257})");
  generate({}, "a<more>\n", {"standard input:1", "<more>", "257"});
  good({"generate", "--model", model, "--quiet", "--max-new-tokens", "2"}, {.input = "a\n"});
}

// Messages name the line as the file has it, empty lines counted, whatever is wrong with it.
TEST_F(TextCommand, LinesAreCountedAlike) {
  const std::string many(20000, 'x');
  for (const std::string& second : {many, std::string()}) {
    const std::string lines = put("lines", "hello\n" + second + "\n");
    bad({"generate", "--model", model, "--max-new-tokens", "4", "--input", lines},
        {"lines:2: ", second.empty() ? "an empty text" : "20000 tokens, with 4 new ones"});
  }
}

}  // namespace
}  // namespace cambium::testing
