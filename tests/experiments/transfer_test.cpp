// Indicators of transferability and their correlations with transfer, against NumPy and SciPy
// (tools/golden/transfer.py).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "experiments/lib/metrics/classification.h"
#include "experiments/lib/transfer/indicators.h"
#include "experiments/lib/transfer/transfer.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace cambium::testing {
namespace {

const std::string& released() {
  static const std::string folder = golden_path("transfer");
  return folder;
}

TEST(Transfer, IndicatorsAndCorrelationsAreNumPysAndSciPys) {
  const std::vector<ReleasedModel> models = read_released(released());
  ASSERT_EQ(models.size(), 1u) << "a model of one task has nothing to compare";
  const ReleasedModel& model = models[0];
  const nlohmann::json expected = parse_json_file(released() + "/expected.json");
  ASSERT_EQ(model.name, "Tiny");
  ASSERT_EQ(model.transfer.tasks, expected["tasks"].get<std::vector<std::string>>());
  for (size_t k = 0; k < kIndicatorNames.size(); ++k) {
    SCOPED_TRACE(kIndicatorNames[k]);
    const nlohmann::json& e = expected["indicators"][kIndicatorNames[k]];
    std::vector<std::vector<double>> values;
    for (size_t t = 0; t < model.prompts.size(); ++t) {
      values.emplace_back();
      for (size_t s = 0; s < model.prompts.size(); ++s) {
        values[t].push_back(indicators(model.prompts[t], model.prompts[s])[k]);
        EXPECT_NEAR(values[t][s], e["values"][t][s].get<double>(), 1e-12) << t << ", " << s;
      }
    }
    // As one matrix: the two halves may differ in the last bit.
    for (size_t t = 0; t < values.size(); ++t)
      for (size_t s = 0; s < t; ++s) values[s][t] = values[t][s];
    const TransferCorrelation c = correlate(model.transfer, values);
    const double ours[] = {c.per_target, c.per_target_own, c.pooled, c.pooled_own};
    for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(ours[i], e["correlations"][i].get<double>(), 1e-12) << i;
  }
}

TEST(Transfer, PromptsThatCannotBeComparedAreRefused) {
  const Tensor p = Tensor::of(std::vector<float>{1, 2, 3, 4}).reshape({2, 2});
  expect_error<InputError>([&] { indicators(p, p.reshape({1, 4})); }, {"[2,2]", "[1,4]"});
  const Tensor bad = Tensor::of(std::vector<float>{1, 2, 3, NAN}).reshape({2, 2});
  expect_error<InputError>([&] { indicators(p, bad); }, {"not finite"});
  const std::array<double, 4> own = indicators(p, p);
  EXPECT_EQ(own[0], 1);
  EXPECT_DOUBLE_EQ(own[2], 1);
}

TEST(Ranks, ShareTiesAndCorrelate) {
  EXPECT_EQ(metrics::ranks(std::vector<double>{3, 1, 3, 2}), (std::vector<double>{3.5, 1, 3.5, 2}));
  const std::vector<double> x = {1, 2, 3, 4}, up = {2, 3, 5, 9}, down = {9, 5, 3, 2}, flat = {1, 1, 1, 1};
  EXPECT_DOUBLE_EQ(metrics::spearman(x, up), 1);
  EXPECT_DOUBLE_EQ(metrics::spearman(x, down), -1);
  EXPECT_TRUE(std::isnan(metrics::spearman(x, flat)));
  EXPECT_TRUE(std::isnan(metrics::spearman(std::vector<double>{1}, std::vector<double>{1})));
  // scipy.stats.spearmanr([1, 2, 2, 4, 5], [3, 1, 4, 4, 9])
  EXPECT_NEAR(metrics::spearman(std::vector<double>{1, 2, 2, 4, 5}, std::vector<double>{3, 1, 4, 4, 9}), 0.7631578947368421,
              1e-12);
}

class StoredIndicators : public ::testing::Test {
 protected:
  ProcessResult show(const std::string& from, std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {program_path("tpt_indicators"), "show", "--from-stored", from};
    words.insert(words.end(), more.begin(), more.end());
    return run_process(words);
  }
  void refuses(const std::string& from, std::initializer_list<const char*> parts) const {
    const ProcessResult r = show(from);
    EXPECT_EQ(r.code, 2) << r.err;
    for (const char* part : parts) EXPECT_NE(r.err.find(part), r.err.npos) << r.err;
    EXPECT_EQ(r.out, "");
  }
  const TemporaryDirectory folder;
};

TEST_F(StoredIndicators, ALineAnIndicator) {
  const ProcessResult r = show(released());
  ASSERT_EQ(r.code, 0) << r.err;
  const nlohmann::json expected = parse_json_file(released() + "/expected.json")["indicators"];
  for (const char* name : kIndicatorNames) {
    std::istringstream line(r.out.substr(r.out.find(text("\n", name, " ")) + 1));
    std::string word;
    line >> word;
    EXPECT_EQ(word, name);
    for (const double number : expected[name]["correlations"]) {
      do line >> word;
      while (word == "|");
      EXPECT_NEAR(std::stod(word), number, 0.0005001) << name << " in\n" << r.out;
    }
  }
  EXPECT_NE(r.out.find("Tiny, 5 tasks"), r.out.npos);
  EXPECT_NE(r.out.find("same type"), r.out.npos);
  const ProcessResult markdown = show(released(), {"--format", "markdown", "--output", folder / "t.md"});
  EXPECT_EQ(markdown.code, 0) << markdown.err;
  EXPECT_NE(read_text_file(folder / "t.md").find("| C\\_avg |"), std::string::npos);
}

TEST_F(StoredIndicators, WhatIsMissingOrDamagedIsNamed) {
  refuses(folder / "nowhere", {"nowhere/results.tsv"});
  const std::string copy = folder / "copy", prompt = copy + "/task_prompt_emb/MNLIPromptTiny/task_prompt";
  std::filesystem::copy(released(), copy, std::filesystem::copy_options::recursive);
  const std::string good = read_text_file(prompt), results = read_text_file(copy + "/results.tsv");
  put_file(prompt, good.substr(0, 100));
  refuses(copy, {"MNLIPromptTiny/task_prompt", "zip"});
  put_file(prompt, good);
  for (const char* value : {"0.5", "acc=", "acc=nan", "acc=1x"}) {
    put_file(copy + "/results.tsv", text("set\ttarget_task\tprompt_from\tvalue\nmain\ta\tb\t", value, "\n"));
    refuses(copy, {"results.tsv:2", value});
  }
  put_file(copy + "/results.tsv", "set\ttarget\n");
  refuses(copy, {"results.tsv", "target_task"});
  put_file(copy + "/results.tsv", results);
  std::filesystem::remove_all(copy + "/task_prompt_emb");
  refuses(copy, {"task_prompt_emb"});
}

}  // namespace
}  // namespace cambium::testing
