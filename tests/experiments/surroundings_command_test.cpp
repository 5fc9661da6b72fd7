// The programs among what surrounds them: the wrong kind of path, texts of other systems, a full disk behind standard
// output, signals, and no home.
#include <sys/stat.h>

#include <csignal>
#include <thread>

#include "tests/support/command.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

class Surroundings : public Command {
 protected:
  // A command line of a shell.
  ProcessResult shell(const std::string& line, ProcessOptions given = {}) const {
    return run_process({"/bin/sh", "-c", line}, options(std::move(given)));
  }
  const std::string cambium = program_path("cambium");
};

TEST_F(Surroundings, TheWrongKindOfPath) {
  batch();
  good(train_arguments("run", {"--steps", "1"}));
  const std::string run = folder / "run", adapter = golden_path("adapters/gpt2_lora"), out = folder / "o.h5";
  const auto forward = [&](const std::string& model, const std::string& tuner) {
    std::vector<std::string> all{"forward", "--model", model, "--input", cases(gpt2), "--output", out};
    if (!tuner.empty()) all.insert(all.end(), {"--tuner", tuner});
    return all;
  };
  bad(forward(gpt2, run), {run, "training run", run + "/checkpoint.h5"});
  bad(forward(gpt2, adapter + "/adapter_model.safetensors"), {"PEFT adapter", "give its directory: " + adapter});
  bad(forward(gpt2, bert), {bert, "is a model", "--model"});
  bad(forward(adapter, ""), {adapter, "is a PEFT adapter", "--tuner"});
  bad(forward(run, ""), {run, "training run", "--tuner"});
  bad(forward(run + "/checkpoint.h5", ""), {"checkpoint of a tuner", "--tuner"});
  bad(forward(gpt2 + "/config.json", ""), {"configuration of a model", "like " + gpt2});
  bad({"inspect", run}, {run, "give one of its files", "/checkpoint.h5"});
  bad({"train", "--model", gpt2, "--tuner-from", run, "--batches", folder / "batch.json", "--output", folder / "r"},
      {run, "training run"});
  bad({"train", "--model", gpt2, "--tuner", "lora", "--batches", run + "/checkpoint.h5", "--output", folder / "r"},
      {"checkpoint.h5", "a file of JSON is needed"});
  bad({"score", "--metric", "bleu", "--references", run, "--outputs", cases(gpt2)}, {"a file of text is needed"});
  bad({"generate", "--model", gpt2, "--input", run + "/checkpoint.h5"}, {"a file of text is needed"});
  bad({"train", "--model", gpt2, "--tuner", "lora", "--task", "e2e", "--data", folder / "batch.json", "--output",
       folder / "r"},
      {"batch.json", "the directory of the files is needed"});
}

// What is wrong with the end of a command is said before its model is read: this one cannot be.
TEST_F(Surroundings, WhatIsKnownAtTheStart) {
  put("unreadable/config.json", "{}");
  batch();
  const std::string model = folder / "unreadable", none = folder / "none";
  bad({"forward", "--model", model, "--tuner", none, "--input", cases(gpt2), "--output", folder / "o.h5"}, {none});
  bad({"forward", "--model", model, "--input", cases(gpt2), "--output", none + "/o.h5"}, {none + "/o.h5"});
  bad({"generate", "--model", model, "--input", none}, {none});
  bad({"generate", "--model", model, "--output", none + "/lines"}, {none + "/lines"});
  bad({"train", "--model", model, "--tuner", "lora", "--batches", folder / "batch.json", "--output", folder.path()},
      {folder.path(), "not empty"});
  bad({"merge", "--model", model, "--tuner", golden_path("adapters/gpt2_lora"), "--output", folder.path()},
      {folder.path(), "not empty"});
  bad({"convert", model, none + "/m.h5"}, {none + "/m.h5"});
}

TEST_F(Surroundings, ByteOrderMarksAndWindowsLines) {
  const std::string marked = "\xef\xbb\xbf" + read_text_file(cases(gpt2));
  good({"forward", "--model", gpt2, "--input", put("marked.json", marked), "--output", folder / "o.h5"});
  put("refs.txt", "the red pub\n\na quiet cafe\n"), put("outs.txt", "the red pub\na cafe\n");
  put("refs2.txt", "\xef\xbb\xbfthe red pub\r\n\r\na quiet cafe\r\n"),
      put("outs2.txt", "\xef\xbb\xbfthe red pub\r\na cafe\r\n");
  const auto score = [&](const std::string& r, const std::string& o) {
    return good({"score", "--metric", "chrf", "--references", folder / r, "--outputs", folder / o}).out;
  };
  EXPECT_EQ(score("refs.txt", "outs.txt"), score("refs2.txt", "outs2.txt"));
  bad({"score", "--metric", "chrf", "--references", put("wide.txt", "\xff\xfet\1"), "--outputs", folder / "outs.txt"},
      {"wide.txt", "UTF-16"});
}

// Every program, and every way to print: nothing that a full disk swallowed counts as done.
TEST_F(Surroundings, AFullDiskBehindStandardOutput) {
  batch();
  good(train_arguments("run", {"--steps", "1"}));
  put("lines", "a b c\n");
  const std::string checkpoint = folder / "run/checkpoint.h5";
  for (const std::string& arguments :
       {"inspect " + gpt2, "inspect " + checkpoint, "inspect --json " + checkpoint, std::string("--help"),
        "score --metric bleu --references " + folder / "lines" + " --outputs " + folder / "lines",
        "train --quiet --json --steps 1 --model " + gpt2 + " --tuner lora --batches " + folder / "batch.json" +
            " --output " + folder / "r"}) {
    const ProcessResult result = shell(cambium + " " + arguments + " > /dev/full");
    EXPECT_EQ(result.code, 1) << arguments << "\n" << result.err;
    EXPECT_NE(result.err.find("error: standard output cannot be written: No space left on device"), std::string::npos)
        << arguments << "\n"
        << result.err;
  }
  const ProcessResult table = shell(program_path("prefix_table_to_text") + " plan --preset smoke > /dev/full");
  EXPECT_EQ(table.code, 1) << table.err;
  EXPECT_EQ(shell(cambium + " fetch none-such > /dev/full").code, 2);  // its own error counts
}

TEST_F(Surroundings, HangingUpSavesATraining) {
  batch();
  const auto endless = command(train_arguments("run", {"--steps", "100000000", "--lr", "0.001"}));
  Process process(endless, options());
  const std::string log = folder / "run/log.jsonl";
  for (int i = 0; i < 6000 && !(file_exists(log) && !read_text_file(log).empty()) && process.running(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  process.kill(SIGHUP);
  const ProcessResult result = process.wait();
  EXPECT_EQ(result.code, 75) << result.err;
  EXPECT_TRUE(file_exists(folder / "run/checkpoint.h5"));
}

TEST_F(Surroundings, TheLastLossIsThatOfTheLastStep) {
  batch();
  const std::vector<std::string> more{"--steps", "6", "--lr", "0.01", "--json"};
  const json summary = json_of(good(train_arguments("run", more)));
  const std::string log = read_text_file(folder / "run/log.jsonl");
  const size_t last = log.rfind('\n', log.size() - 2) + 1;
  EXPECT_EQ(summary.at("loss"), json::parse(log.substr(last)).at("loss"));
  auto again = more;
  again.push_back("--resume");
  EXPECT_EQ(json_of(good(train_arguments("run", again))).at("loss"), summary.at("loss"));  // nothing was left to do
}

TEST_F(Surroundings, WithoutAHome) {
  batch();
  const std::string train = cambium + " train --quiet --steps 1 --dtype f32 --model " + gpt2 +
                            " --tuner lora --batches " + folder / "batch.json" + " --output ";
  const bool before = file_exists("/tmp/hashes");
  ProcessResult result = shell("unset HOME CAMBIUM_HOME XDG_CACHE_HOME; " + train + folder / "r1");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(file_exists("/tmp/hashes"), before);
  result = shell("unset XDG_CACHE_HOME; CAMBIUM_HOME= HOME=" + folder / "user" + " " + train + folder / "r2");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_FALSE(file_exists("/hashes"));
  EXPECT_TRUE(is_directory(folder / "user/.cache/cambium/hashes"));
  result = shell("HOME= CAMBIUM_HOME= XDG_CACHE_HOME=" + folder / "xdg" + " " + train + folder / "r3");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(is_directory(folder / "xdg/cambium/hashes"));
}

// A hash that others could have written is computed again.
TEST_F(Surroundings, HashesOfOthersAreNotBelieved) {
  const auto hash = [&] { return json_of(good({"inspect", gpt2, "--json"})).at("hash").get<std::string>(); };
  const std::string right = hash(), place = folder / "home/hashes";
  ASSERT_EQ(list_directory(place).size(), 1u);
  const std::string memory = place + "/" + list_directory(place)[0], wrong(64, 'f');
  put_file(memory, wrong);
  EXPECT_EQ(hash(), wrong);  // ours: believed
  ASSERT_EQ(::chmod(memory.c_str(), 0666), 0);
  EXPECT_EQ(hash(), right);
  put_file(memory, wrong);
  ASSERT_EQ(::chmod(memory.c_str(), 0644), 0);
  ASSERT_EQ(::chmod(place.c_str(), 0777), 0);
  EXPECT_EQ(hash(), right);
}

TEST_F(Surroundings, NamesDoNotSteerTheTerminal) {
  std::string weights = read_text_file(gpt2 + "/model.safetensors");
  copied(gpt2);
  const std::string name = "transformer.h.0.ln_1.weight";
  weights.replace(weights.find(name), name.size(), "\\u001b[2Jx\\nerror: ab\\u009b");
  put("model/model.safetensors", weights);
  const ProcessResult result =
      run({"forward", "--model", folder / "model", "--input", cases(gpt2), "--output", folder / "o"});
  EXPECT_EQ(result.code, 2);
  EXPECT_EQ(result.err.find('\x1b'), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("\nerror: ab"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace cambium::testing
