// cambium train --runs: several runs on one base in one process are the single runs, bit for bit, and each other's
// affair in nothing.
#include "tests/support/command.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

class TrainRuns : public Command {
 protected:
  void SetUp() override {
    batch();
    put("other.json", R"({"inputs": [[30,31,32,33],[34,35],[36,37,38]], "targets": [[30,31,32,33],[34,35],[36,37,38]]})");
  }
  json run_of(const std::string& output, const std::string& method, json options, json more = {}) const {
    json run = {{"output", folder / output}, {"tuner", method},     {"options", std::move(options)},
                {"batches", folder / "batch.json"}, {"batch-size", 2}, {"no-eval", true}};
    if (!more.is_null()) run.update(more);
    return run;
  }
  // One of every kind, with data, rates, lengths and seeds of their own.
  std::vector<json> kinds() const {
    return {run_of("lora", "lora", {{"rank", 2}}, {{"steps", 6}, {"batches", folder / "other.json"}}),
            run_of("prompt", "prompt", {{"length", 3}, {"init", "random"}}, {{"steps", 4}, {"optimizer", "adafactor"}, {"weight_decay", 0.1}}),
            run_of("both", "dora+adapter", {{"dora.rank", 2}, {"adapter.bottleneck", 4}},
                   {{"steps", 5}, {"batch-size", 3}, {"seed", 7}, {"schedule", "linear"}, {"warmup", 1}}),
            run_of("dropped", "lora", {{"rank", 2}, {"dropout", 0.2}}, {{"steps", 5}, {"dropout", "0.1"}, {"shards", 2}}),
            run_of("prefix", "prefix", {{"length", 2}, {"init", "random"}}, {{"epochs", 2}, {"lr", 0.01}, {"clip", 0.1}})};
  }
  std::vector<std::string> train(const std::string& model, const std::vector<json>& runs,
                                 const std::vector<std::string>& more = {}) const {
    put("runs.json", json{{"runs", runs}}.dump());
    std::vector<std::string> all{"train", "--model", model, "--runs", folder / "runs.json", "--dtype", "f32", "--quiet"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  // The same as a command of its own.
  std::vector<std::string> single(const std::string& model, const json& run, const std::string& output) const {
    std::vector<std::string> all{"train", "--model", model, "--dtype", "f32", "--quiet"};
    const auto word = [](const json& v) { return v.is_string() ? v.get<std::string>() : v.dump(); };
    for (const auto& [key, value] : run.items()) {
      if (key == "options") {
        for (const auto& [name, of] : value.items()) all.push_back("--option=" + name + "=" + word(of));
      } else if (value.is_boolean()) {
        all.push_back("--" + key);
      } else if (key == "output") {
        all.push_back("--output=" + (folder / output));
      } else {
        all.push_back("--" + (key == "weight_decay" ? "weight-decay" : key) + "=" + word(value));
      }
    }
    return all;
  }
  // But for times.
  void expect_same_run(const std::string& seen, const std::string& expected) const {
    for (const char* file : {"/checkpoint.h5", "/tuner.h5"})
      EXPECT_TRUE(read_text_file(folder / seen + file) == read_text_file(folder / expected + file)) << seen << file;
    const auto facts = [&](const std::string& run) {
      std::vector<json> lines;
      std::istringstream in(read_text_file(folder / run + "/log.jsonl"));
      for (std::string line; std::getline(in, line);) {
        lines.push_back(json::parse(line));
        lines.back().erase("tok_s");
      }
      return lines;
    };
    EXPECT_EQ(facts(seen), facts(expected)) << seen;
  }
};

TEST_F(TrainRuns, AreTheSingleRuns) {
  const std::vector<json> runs = kinds();
  const json summary = json_of(good(train(gpt2, runs, {"--json"})));
  ASSERT_EQ(summary.at("runs").size(), runs.size());
  EXPECT_EQ(summary.at("runs")[2].at("steps"), 5);
  for (const json& run : runs) {
    const std::string name = std::filesystem::path(run.at("output").get<std::string>()).filename();
    good(single(gpt2, run, "single_" + name));
    expect_same_run(name, "single_" + name);
  }
}

TEST_F(TrainRuns, AreTheSingleRunsOfASequenceToSequenceModel) {
  put("batch.json", R"({"inputs": [[5,6,7,8],[10,11,12],[13,14],[20]], "targets": [[6,7],[11],[14,9,8],[21,4]]})");
  std::vector<json> runs = {run_of("lora", "lora", {{"rank", 2}}, {{"steps", 4}}),
                            run_of("prompt", "prompt", {{"length", 2}, {"init", "random"}, {"where", "both"}}, {{"steps", 3}}),
                            run_of("vera", "vera", {{"rank", 4}}, {{"steps", 4}})};
  good(train(bart, runs));
  for (const json& run : runs) {
    const std::string name = std::filesystem::path(run.at("output").get<std::string>()).filename();
    good(single(bart, run, "single_" + name));
    expect_same_run(name, "single_" + name);
  }
}

// Nobody notices who else is there; a run that fails does so alone.
TEST_F(TrainRuns, AFailedOneStopsAlone) {
  std::vector<json> runs = kinds();
  good(train(gpt2, runs));
  for (json& run : runs) run["output"] = run["output"].get<std::string>() + "_beside";
  runs[1]["lr"] = 1e29, runs[1]["clip"] = 0;
  runs[1]["optimizer"] = "sgd";
  const ProcessResult result = run(train(gpt2, runs));
  EXPECT_EQ(result.code, 1) << result.err;
  EXPECT_NE(result.err.find("prompt_beside"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("not finite"), std::string::npos) << result.err;
  for (const char* name : {"lora", "both", "dropped", "prefix"}) expect_same_run(std::string(name) + "_beside", name);
}

// Those that are finished stay as they are, the others are continued.
TEST_F(TrainRuns, ResumeContinuesWhatIsNotFinished) {
  const std::vector<json> runs = kinds();
  good(train(gpt2, runs));
  const std::vector<json> first = {runs[0]};
  for (const char* name : {"lora", "both"}) std::filesystem::rename(folder / name, folder / (std::string(name) + "_before"));
  good(train(gpt2, first));
  good(train(gpt2, runs, {"--resume"}));
  expect_same_run("both", "both_before");
  expect_same_run("lora", "lora_before");
}

TEST_F(TrainRuns, RefusesWhatIsNoListOfRuns) {
  const auto refused = [&](const std::vector<json>& runs, std::initializer_list<std::string_view> parts) {
    const auto command = train(gpt2, runs);
    bad(command, parts);
  };
  const json good_run = run_of("a", "lora", {{"rank", 2}});
  const auto with = [&](const char* key, json value) {
    json run = good_run;
    run[key] = std::move(value);
    return run;
  };
  refused({}, {"runs.json", "empty"});
  refused({good_run, good_run}, {"runs[1]", "output", "runs[0]"});
  refused({with("no_shufle", true)}, {"runs[0]", "no_shufle", "no-shuffle"});
  refused({with("no-eval", 3)}, {"runs[0].no-eval", "neither true nor false"});
  refused({with("steps", "many")}, {"runs[0].steps", "no number"});
  refused({with("options", "rank=2")}, {"runs[0].options", "no object"});
  refused({with("tuner", "lorra")}, {"runs[0]", "lorra"});
  refused({with("batches", folder / "none.json")}, {"runs[0]", "none.json"});
  refused({with("model", gpt2)}, {"runs[0]", "model"});
  refused({good_run, run_of("b", "full", json::object())}, {"full", "changes the base"});
  json nameless = good_run;
  nameless.erase("output");
  refused({nameless}, {"runs[0]", "output"});
  put("runs.json", "[]");
  bad({"train", "--model", gpt2, "--runs", folder / "runs.json"}, {"runs.json", "\"runs\""});
  bad({"train", "--model", gpt2, "--runs", folder / "runs.json", "--tuner", "lora"}, {"--runs"});
}

}  // namespace
}  // namespace cambium::testing
