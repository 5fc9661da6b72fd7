// The tables of other kinds of models and tasks, as users run them on their smoke presets;
// prefix_table_to_text_test.cpp tests what all share.
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "core/files.h"
#include "experiments/lib/table/result.h"
#include "tests/experiments/verdict_cells.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace cambium::testing {
namespace {

class TuningTables : public ::testing::Test {
 protected:
  ProcessResult run(const std::string& program, std::vector<std::string> arguments,
                    const std::string& results = "results") const {
    arguments.insert(arguments.begin(), program_path(program));
    arguments.insert(arguments.begin() + 2, {"--results", folder / results});
    return run_process(arguments, {.environment = {{"CAMBIUM_HOME", folder / "home"}}});
  }
  // By method; the first seed's.
  std::map<std::string, CellResult> results(const std::string& program, const std::string& results = "results") const {
    const std::string cells = folder / results + "/" + program + "/smoke/cells";
    std::map<std::string, CellResult> all;
    for (const std::string& name : list_directory(cells)) {
      CellResult r = read_result(cells + "/" + name);
      all.emplace(r.cell.method, std::move(r));
    }
    return all;
  }
  void refuses(const std::string& program, const std::vector<std::string>& arguments,
               std::initializer_list<const char*> parts) const {
    const ProcessResult r = run(program, arguments, "refused");
    EXPECT_EQ(r.code, 2) << r.err;
    for (const char* part : parts) EXPECT_NE(r.err.find(part), r.err.npos) << r.err;
    EXPECT_FALSE(file_exists(folder / "refused"));
  }

  const TemporaryDirectory folder;
};

TEST_F(TuningTables, SmokeSummariesRunEveryMethod) {
  const ProcessResult r = run("prefix_summarization", {"run", "--preset", "smoke"});
  ASSERT_EQ(r.code, 0) << r.err;
  const auto all = results("prefix_summarization");
  ASSERT_EQ(all.size(), 8u);
  for (const char* method : {"zero-shot", "few-shot", "prompt", "prefix", "adapter", "lora", "top_layers", "full"}) {
    ASSERT_TRUE(all.count(method)) << method;
    EXPECT_TRUE(std::regex_search(r.out, std::regex("\n" + std::string(method) + " +[|] +[0-9]+[.][0-9]{2}"))) << r.out;
    const CellResult& cell = all.at(method);
    EXPECT_EQ(cell.outputs.size(), 3u);
    for (const char* score : {"rouge1", "rouge2", "rougeL"})
      EXPECT_TRUE(cell.score(score) >= 0 && cell.score(score) < 0.3) << method << ": the model is random";
    if (!cell.cell.method.ends_with("-shot")) {
      EXPECT_EQ(cell.series.at("loss").size(), 2u) << "4 examples in batches of 2";
    }
  }
  EXPECT_EQ(expect_open_verdicts(r.out, 1), 1u);
  for (const char* words : {"43.80", "BART large, XSum", "XSum, length 100", "here length=10", "scitldr", "Report: "})
    EXPECT_NE(r.out.find(words), r.out.npos) << words;
  const std::string page = read_text_file(folder / "results/prefix_summarization/smoke/report.html");
  for (const char* words : {"Training loss", "loss per token", "ROUGE-1, measured and published"})
    EXPECT_NE(page.find(words), page.npos) << words;
}

TEST_F(TuningTables, SmokeClassificationRunsEveryMethod) {
  const ProcessResult r = run("lora_glue", {"run", "--preset", "smoke"});
  ASSERT_EQ(r.code, 0) << r.err;
  const auto all = results("lora_glue");
  ASSERT_EQ(all.size(), 7u);
  constexpr double kHead = 2 * 32 + 2;  // the pooler in front of it is the model's own
  for (const auto& [method, cell] : all) {
    EXPECT_TRUE(std::regex_search(r.out, std::regex("\n" + method + " +[|] +[0-9]+[.][0-9]"))) << method << " in\n"
                                                                                               << r.out;
    ASSERT_EQ(cell.outputs.size(), 64u);
    int right = 0;
    for (size_t i = 0; i < cell.outputs.size(); ++i) {
      EXPECT_TRUE(cell.outputs[i] == "negative" || cell.outputs[i] == "positive") << cell.outputs[i];
      right += cell.outputs[i] == cell.references[i].at(0);
    }
    EXPECT_DOUBLE_EQ(cell.score("accuracy"), right / 64.0);
    EXPECT_FALSE(cell.scores.count("cased_bleu"));
    if (method == "zero-shot") continue;
    EXPECT_EQ(cell.series.at("loss").size(), 2u) << "32 examples in batches of 16";
    EXPECT_NE(cell.notes.at("objective").find("2 classes"), std::string::npos);
    EXPECT_GT(cell.measured("trained_parameters"), kHead) << "the head, and something of the tuner";
  }
  EXPECT_EQ(all.at("prompt").measured("trained_parameters"), 20 * 32 + kHead);
  EXPECT_EQ(all.at("full").measured("trained_parameters"), all.at("full").measured("base_parameters") + kHead);
  // Made-up texts stand beside no published number.
  EXPECT_EQ(r.out.find("95.1"), r.out.npos);
  EXPECT_NE(r.out.find("Always the most frequent class: "), r.out.npos);
  EXPECT_NE(r.out.find("texts/s"), r.out.npos);

  const ProcessResult again = run("lora_glue", {"run", "--preset", "smoke"});
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(again.out, r.out);
}

// Each cell has a head of its own, and a base that no cell before it has touched.
TEST_F(TuningTables, ClassificationCellsDoNotDependOnThoseBefore) {
  ASSERT_EQ(
      run("lora_glue", {"run", "--preset", "smoke", "--methods", "zero-shot,full,lora", "--seeds", "1"}, "all").code,
      0);
  ASSERT_EQ(run("lora_glue", {"run", "--preset", "smoke", "--methods", "full"}, "alone").code, 0);
  ASSERT_EQ(run("lora_glue", {"run", "--preset", "smoke", "--methods", "lora", "--threads", "1"}, "alone").code, 0);
  const auto all = results("lora_glue", "all"), alone = results("lora_glue", "alone");
  for (const char* method : {"full", "lora"}) {
    EXPECT_EQ(all.at(method).outputs, alone.at(method).outputs) << method;
    EXPECT_EQ(all.at(method).series, alone.at(method).series) << method;
  }
}

TEST_F(TuningTables, AnotherTaskOfTheSameKindComesFromItsFiles) {
  std::string rows = "sentence\tlabel\n";
  for (int i = 0; i < 40; ++i) rows += text(i % 3 ? "fine film " : "dull film ", i, "\t", i % 3 ? 1 : 0, "\n");
  make_directories(folder / "sst");
  put_file(folder / "sst/train.tsv", rows);
  put_file(folder / "sst/dev.tsv", rows);
  const ProcessResult r = run("lora_glue", {"run", "--preset", "smoke", "--methods", "zero-shot,adapter,lora",
                                            "--tasks", "sst2", "--data", folder / "sst"});
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(expect_open_verdicts(r.out, 2), 1u) << "full is not in this grid";
  for (const char* words : {"95.1", "RoBERTa base, all of SST-2", "Always the most frequent class: 65.0.", "fine film"})
    EXPECT_NE(r.out.find(words), r.out.npos) << r.out;
  EXPECT_EQ(results("lora_glue").at("lora").outputs.size(), 40u);
  const ProcessResult plan =
      run("lora_glue", {"plan", "--preset", "smoke", "--tasks", "sst2", "--data", folder / "sst"});
  EXPECT_EQ(plan.code, 0) << plan.err;
  EXPECT_NE(plan.out.find("finished"), plan.out.npos) << plan.out;
}

TEST_F(TuningTables, WhatDoesNotFitIsRefused) {
  const std::string bert = folder / "bert";
  std::filesystem::copy(golden_path("models/bert"), bert);
  put_file(bert + "/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nfilm\n");
  refuses("prefix_summarization", {"run", "--preset", "quickstart", "--model", bert}, {"scitldr", "encoder", "bert"});
  refuses("prefix_summarization", {"run", "--preset", "smoke", "--tasks", "sst2"},
          {"--tasks sst2", "scitldr, samsum, xsum"});
  refuses("prefix_summarization", {"run", "--preset", "smoke", "--tasks", "scitldr,scitldr"}, {"twice"});
  refuses("prefix_summarization", {"run", "--preset", "smoke", "--tasks", "samsum"}, {"samsum", "--data"});
  refuses("lora_glue", {"run", "--preset", "quickstart", "--model", bert},
          {"do not ship", "gluebenchmark.com", "--data"});
  refuses("lora_glue", {"run", "--preset", "smoke", "--methods", "few-shot"},
          {"--methods few-shot", "random-encoder", "demonstrations"});
  refuses("lora_glue", {"run", "--preset", "smoke", "--data", folder.path()}, {"synthetic", "--data"});
}

TEST_F(TuningTables, QuickstartAsksForDataBeforeItBuilds) {
  const ProcessResult r = run_process({"/bin/bash", source_path("quickstart"), "--model", "minilm-l6"},
                                      {.environment = {{"CAMBIUM_HOME", folder / "home"}}});
  EXPECT_EQ(r.code, 2) << r.err;
  for (const char* part : {"SST-2", "gluebenchmark.com", "--data DIR"})
    EXPECT_NE(r.err.find(part), r.err.npos) << r.err;
  EXPECT_EQ(r.out, "");
}

}  // namespace
}  // namespace cambium::testing
