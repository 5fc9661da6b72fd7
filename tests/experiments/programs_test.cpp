// Every program of a paper's item, as users run it on its smoke preset: plan, run and show.
#include <gtest/gtest.h>

#include <regex>

#include "core/files.h"
#include "tests/support/files.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace cambium::testing {
namespace {

// The programs in the papers' folders.
std::vector<std::string> programs() {
  std::vector<std::string> all;
  for (const char* folder : {"prefix_tuning", "power_of_scale", "transferability", "adapters_and_lora"})
    for (const std::string& file : list_directory(source_path(std::string("experiments/") + folder)))
      if (file.ends_with(".cpp")) all.push_back(file.substr(0, file.size() - 4));
  return all;
}

class Programs : public ::testing::TestWithParam<std::string> {
 protected:
  ProcessResult run(std::vector<std::string> words) const {
    words.insert(words.begin(), program_path(GetParam()));
    words.insert(words.begin() + 2, {"--preset", "smoke", "--results", folder / "results"});
    return run_process(words, {.environment = {{"CAMBIUM_HOME", folder / "home"}}});
  }
  const TemporaryDirectory folder;
};

TEST_P(Programs, PlanRunAndShow) {
  const ProcessResult plan = run({"plan"});
  ASSERT_EQ(plan.code, 0) << plan.err;
  EXPECT_FALSE(file_exists(folder / "results")) << "a plan leaves nothing";
  const ProcessResult first = run({"run"});
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out.find("Missing"), first.out.npos) << first.out;
  EXPECT_EQ(first.out.find(" not finished"), first.out.npos) << first.out;
  EXPECT_GE(std::count(first.out.begin(), first.out.end(), '\n'), 5) << first.out;
  EXPECT_TRUE(file_exists(folder / ("results/" + GetParam() + "/smoke/report.html")));
  const ProcessResult shown = run({"show", "--format", "latex"});
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_NE(shown.out.find("\\begin{table}"), shown.out.npos) << shown.out;
  EXPECT_FALSE(std::regex_search(shown.out, std::regex("\\bnan\\b"))) << shown.out;
}

// The other presets are described, and planned without their models.
TEST_P(Programs, LargerPresetsAreThere) {
  const ProcessResult help = run_process({program_path(GetParam()), "run", "--help"});
  ASSERT_EQ(help.code, 0);
  for (const char* preset : {"smoke", "cpu", "paper"}) EXPECT_NE(help.out.find(preset), help.out.npos) << help.out;
}

INSTANTIATE_TEST_SUITE_P(Papers, Programs, ::testing::ValuesIn(programs()),
                         [](const auto& program) { return program.param; });

}  // namespace
}  // namespace cambium::testing
