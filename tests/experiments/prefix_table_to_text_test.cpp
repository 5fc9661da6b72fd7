// The program prefix_table_to_text as users run it, on its smoke preset: a tiny random model, real data, real files.
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <thread>

#include "core/files.h"
#include "experiments/lib/table/result.h"
#include "tests/experiments/verdict_cells.h"
#include "tests/support/files.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace cambium::testing {
namespace {

class PrefixTable : public ::testing::Test {
 protected:
  ProcessResult run(std::vector<std::string> arguments, const std::string& results = "results") const {
    arguments.insert(arguments.begin(), program_path("prefix_table_to_text"));
    if (arguments.size() > 1 && !arguments[1].starts_with("-"))
      arguments.insert(arguments.begin() + 2, {"--results", folder / results});
    return run_process(arguments, {.environment = {{"CAMBIUM_HOME", folder / "home"}}});
  }
  std::string grid(const std::string& results = "results") const {
    return folder / results + "/prefix_table_to_text/smoke";
  }
  std::vector<std::string> result_files(const std::string& results = "results") const {
    return list_directory(grid(results) + "/cells");
  }

  const TemporaryDirectory folder;
};

// The number behind a row's name, or an error.
double first_number(const std::string& table, const std::string& method) {
  std::smatch found;
  const std::regex row("(?:^|\n)" + method + "[ |]+(-?[0-9]+[.][0-9]+)");
  if (!std::regex_search(table, found, row)) ADD_FAILURE() << "no row " << method << " in\n" << table;
  return found.empty() ? -1 : std::stod(found[1]);
}

TEST_F(PrefixTable, SmokeRunsEveryMethodAndShowsThem) {
  const ProcessResult run1 = run({"run", "--preset", "smoke"});
  ASSERT_EQ(run1.code, 0) << run1.err;
  for (const char* method : {"zero-shot", "few-shot", "prompt", "prefix", "adapter", "lora", "top_layers", "full"}) {
    const double bleu = first_number(run1.out, method);
    EXPECT_GE(bleu, 0) << method;
    EXPECT_LT(bleu, 30) << method << ": the model is random";
    EXPECT_NE(run1.out.find("[" + std::string(method) + "]"), run1.out.npos) << "no sample output of " << method;
  }
  for (const char* words : {"69.70", "67.30", "Houlsby's, 11.09 M; here bottleneck=64", "Report: "})
    EXPECT_NE(run1.out.find(words), run1.out.npos) << words << " in\n" << run1.out;
  EXPECT_EQ(expect_open_verdicts(run1.out, 5), 5u) << "every claim is about methods that ran";
  ASSERT_EQ(result_files().size(), 8u);
  EXPECT_TRUE(file_exists(grid() + "/report.html"));

  for (const std::string& name : result_files()) {
    const CellResult r = read_result(grid() + "/cells/" + name);
    EXPECT_EQ(r.inputs.size(), 6u);
    EXPECT_EQ(r.outputs.size(), 6u);
    for (const char* score : {"bleu", "nist", "meteor", "rouge_l", "cider", "cased_bleu"})
      EXPECT_TRUE(r.scores.count(score)) << score;
    EXPECT_GT(r.measured("resident_peak_bytes"), r.measured("tensor_peak_bytes"));
    EXPECT_EQ(r.notes.count("demonstrations"), r.cell.method == "few-shot");
    if (r.cell.method.ends_with("-shot")) continue;
    EXPECT_EQ(r.series.at("loss").size(), 2u);  // 16 examples in batches of 8
    EXPECT_GT(r.measured("trained_parameters"), 0);
    EXPECT_TRUE(file_exists(r.notes.at("checkpoint")));
  }

  // A second run skips everything and says the same.
  const ProcessResult run2 = run({"run", "--preset", "smoke"});
  EXPECT_EQ(run2.code, 0);
  EXPECT_EQ(run2.out, run1.out);
  EXPECT_NE(run2.err.find("finished before"), run2.err.npos);
  const ProcessResult show = run({"show", "--preset", "smoke", "--format", "markdown"});
  EXPECT_EQ(show.code, 0);
  EXPECT_NE(show.out.find("| zero-shot | "), show.out.npos);
  EXPECT_EQ(show.out.find("Missing"), show.out.npos);
  // The other formats have the same verdicts, and say in each row what was published.
  const std::string latex = run({"show", "--preset", "smoke", "--format", "latex"}).out,
                    page = read_text_file(grid() + "/report.html");
  for (const auto& [report, open, others] :
       {std::tuple{show.out, "\n| open (1 seed) | ", "\n[|] (holds|reversed|open) [|]"},
        {latex, "\nopen (1 seed) & ", "\n(holds|reversed|open) &"},
        {page, "<td>open (1 seed)</td>", "<td[^>]*>(holds|reversed|open)</td>"}}) {
    EXPECT_NE(report.find(open), report.npos) << report;
    EXPECT_FALSE(std::regex_search(report, std::regex(others))) << report;
    EXPECT_TRUE(std::regex_search(report, std::regex("Houlsby('|&#39;)s, 11.09 M; here bottleneck=64"))) << report;
  }
}

TEST_F(PrefixTable, CellsAndMethodsAreChosenAndTheRestIsMissing) {
  const ProcessResult plan = run({"plan", "--preset", "smoke", "--seeds", "2"});
  ASSERT_EQ(plan.code, 0) << plan.err;
  size_t to_do = 0;
  for (size_t at = plan.out.find(" to do "); at != plan.out.npos; at = plan.out.find(" to do ", at + 1)) ++to_do;
  EXPECT_EQ(to_do, 16u) << plan.out;
  // The job array that it suggests runs the same grid.
  const ProcessResult part =
      run({"plan", "--preset", "smoke", "--methods=lora,full", "--cells", "1-1", "--format", "text"});
  EXPECT_NE(part.out.find("--array=1-1 --wrap \"prefix_table_to_text run --results " + folder.path() +
                          "/results --preset smoke --methods=lora,full --cell \\$SLURM_ARRAY_TASK_ID\""),
            part.out.npos)
      << part.out;

  ASSERT_EQ(run({"run", "--preset", "smoke", "--methods", "lora,zero-shot", "--seeds", "2", "--cells", "1-2"}).code, 0);
  EXPECT_EQ(result_files().size(), 2u);
  const ProcessResult show = run({"show", "--preset", "smoke", "--methods", "zero-shot,lora", "--seeds", "2"});
  EXPECT_EQ(show.code, 0);
  EXPECT_EQ(show.out.find("Mean"), show.out.npos) << show.out;  // one seed of each
  EXPECT_NE(show.out.find("cell 0: zero-shot"), show.out.npos) << show.out;
  EXPECT_NE(show.out.find("cell 3: lora"), show.out.npos) << show.out;
  EXPECT_EQ(show.out.find("cell 1:"), show.out.npos) << show.out;

  const ProcessResult some =
      run({"show", "--preset", "smoke", "--methods", "zero-shot,lora", "--seeds", "2", "--cells", "2-3"});
  EXPECT_EQ(some.code, 0) << some.err;
  EXPECT_GE(first_number(some.out, "lora"), 0);
  EXPECT_NE(some.out.find("cell 3: lora"), some.out.npos) << some.out;
  EXPECT_EQ(some.out.find("cell 0:"), some.out.npos) << some.out;
  EXPECT_FALSE(std::regex_search(some.out, std::regex("(?:^|\n)zero-shot[ |]+[0-9]"))) << some.out;

  // The same numbers with one thread.
  ASSERT_EQ(run({"run", "--preset", "smoke", "--methods", "lora,zero-shot", "--seeds", "2", "--cells", "1-2",
                 "--threads", "1"},
                "alone")
                .code,
            0);
  ASSERT_EQ(result_files("alone"), result_files());
  for (const std::string& name : result_files()) {
    const CellResult a = read_result(grid() + "/cells/" + name), b = read_result(grid("alone") + "/cells/" + name);
    EXPECT_EQ(a.outputs, b.outputs);
    EXPECT_EQ(a.series, b.series);
    EXPECT_EQ(a.scores, b.scores);
  }
}

size_t times(const std::string& what, const std::string& in) {
  size_t count = 0;
  for (size_t at = in.find(what); at != in.npos; at = in.find(what, at + 1)) ++count;
  return count;
}

// What a run says while it works goes to standard error: the plan with its time before anything, then the table, which
// grows by a row a cell.
TEST_F(PrefixTable, ARunSaysWhatItWillDoAndShowsTheTableGrow) {
  const std::vector<std::string> command = {"run", "--preset", "smoke", "--methods", "zero-shot,few-shot,lora"};
  const ProcessResult whole = run(command);
  ASSERT_EQ(whole.code, 0) << whole.err;
  const size_t plan = whole.err.find("expected time"), total = whole.err.find("All of it: about "),
               first = whole.err.find("zero-shot ", total);
  EXPECT_TRUE(plan < total && total < first && first != whole.err.npos) << whole.err;
  for (const char* part : {"random-decoder on e2e: 16 training examples, 1 epoch, 6 inputs of test", "GFLOP/s",
                           "cell 1", "1 of 3 cells done, about ", "2 of 3 cells done, about "})
    EXPECT_NE(whole.err.find(part), whole.err.npos) << part << " in\n" << whole.err;
  // The table so far after each cell but the last, which the whole table follows.
  EXPECT_EQ(times("BLEU, cased", whole.err), 2u) << whole.err;
  EXPECT_EQ(times("\nzero-shot ", whole.err.substr(total)), 2u) << whole.err;
  EXPECT_EQ(times("\nfew-shot ", whole.err.substr(total)), 1u) << whole.err;
  EXPECT_EQ(whole.out.find("expected time"), whole.out.npos) << whole.out;

  std::vector<std::string> quiet = command;
  quiet.push_back("--quiet");
  const ProcessResult silent = run(quiet, "quiet");
  EXPECT_EQ(silent.code, 0);
  EXPECT_EQ(silent.err, "");
  EXPECT_NE(silent.out.find("zero-shot"), silent.out.npos);
  // What is finished needs no forecast.
  const ProcessResult again = run(command);
  EXPECT_EQ(again.err.find("expected time"), again.err.npos) << again.err;
}

TEST_F(PrefixTable, TheFirstTableHasEveryKindOfMethod) {
  const ProcessResult plan = run({"plan", "--preset", "quickstart"});  // its model is not here
  ASSERT_EQ(plan.code, 0) << plan.err;
  for (const char* method : {"zero-shot", "few-shot", "prompt", "prefix", "adapter", "lora"})
    EXPECT_NE(plan.out.find(text("  ", method, " ")), plan.out.npos) << plan.out;
}

// Cells that follow one that trained the base itself find it as it was.
TEST_F(PrefixTable, TrainingTheBaseLeavesItForTheNextCell) {
  ASSERT_EQ(run({"run", "--preset", "smoke", "--methods", "full,lora", "--cells", "0-1"}).code, 0);
  ASSERT_EQ(run({"run", "--preset", "smoke", "--methods", "full,lora", "--seeds", "2"}, "both").code, 0);
  ASSERT_EQ(run({"run", "--preset", "smoke", "--methods", "full", "--seed", "1"}, "alone").code, 0);
  // "both" ran lora 0, lora 1, full 0, full 1 on one base; "alone" ran full 1 on a fresh one.
  const std::string name = result_files("alone").at(0);
  const CellResult a = read_result(grid("alone") + "/cells/" + name), b = read_result(grid("both") + "/cells/" + name);
  EXPECT_EQ(a.series, b.series);
  EXPECT_EQ(a.outputs, b.outputs);
}

TEST_F(PrefixTable, DamagedAndUnfinishedCellsRunAgain) {
  ASSERT_EQ(run({"run", "--preset", "smoke", "--methods", "prefix"}).code, 0);
  const std::string path = grid() + "/cells/" + result_files().at(0);
  const std::string good = read_text_file(path);
  const CellResult before = read_result(path);

  put_file(path, good.substr(0, good.size() - 100));
  const ProcessResult show = run({"show", "--preset", "smoke", "--methods", "prefix"});
  EXPECT_EQ(show.code, 0);
  EXPECT_NE(show.out.find("cell 0: prefix"), show.out.npos) << show.out;
  EXPECT_NE(show.out.find(path), show.out.npos) << show.out;
  EXPECT_NE(run({"plan", "--preset", "smoke", "--methods", "prefix"}).out.find("damaged"), std::string::npos);
  const ProcessResult again = run({"run", "--preset", "smoke", "--methods", "prefix"});
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(read_result(path).outputs, before.outputs);
  EXPECT_EQ(read_result(path).series, before.series);

  // A checkpoint that a killed process left half-written is left out, and the cell starts over.
  const std::string checkpoint = before.notes.at("checkpoint");
  std::filesystem::remove(path);
  put_file(checkpoint, read_text_file(checkpoint).substr(0, 2000));
  EXPECT_EQ(run({"run", "--preset", "smoke", "--methods", "prefix"}).code, 0);
  EXPECT_EQ(read_result(path).outputs, before.outputs);
}

TEST_F(PrefixTable, ASignalSavesAndTheSameCommandContinues) {
  ASSERT_EQ(run({"run", "--preset", "smoke", "--methods", "lora"}, "whole").code, 0);
  // A grid of many cells: the signal comes somewhere inside it.
  const std::vector<std::string> command = {program_path("prefix_table_to_text"),
                                            "run",
                                            "--results",
                                            folder / "results",
                                            "--preset",
                                            "smoke",
                                            "--methods",
                                            "lora",
                                            "--seeds",
                                            "60"};
  Process process(command);
  const auto cells = [&] { return is_directory(grid() + "/cells") ? list_directory(grid() + "/cells").size() : 0; };
  for (int i = 0; i < 6000 && process.running() && cells() == 0; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  process.kill(SIGINT);
  const ProcessResult stopped = process.wait();
  EXPECT_EQ(stopped.code, 75) << stopped.err;
  EXPECT_NE(stopped.err.find("stopped"), stopped.err.npos) << stopped.err;
  EXPECT_GE(cells(), 1u);
  EXPECT_LT(cells(), 60u);
  ASSERT_EQ(run({"run", "--preset", "smoke", "--methods", "lora"}).code, 0);
  const std::string name = result_files("whole").at(0);
  EXPECT_EQ(read_result(grid() + "/cells/" + name).outputs, read_result(grid("whole") + "/cells/" + name).outputs);
}

TEST_F(PrefixTable, ProcessesShareAGrid) {
  std::vector<std::unique_ptr<Process>> all;
  for (int i = 0; i < 3; ++i)
    all.push_back(
        std::make_unique<Process>(std::vector<std::string>{program_path("prefix_table_to_text"), "run", "--results",
                                                           folder / "results", "--preset", "smoke", "--methods",
                                                           "zero-shot,prompt,lora", "--cell", std::to_string(i % 2)},
                                  ProcessOptions()));
  for (auto& p : all) {
    const ProcessResult r = p->wait();
    EXPECT_EQ(r.code, 0) << r.err;
  }
  EXPECT_EQ(result_files().size(), 2u);
}

TEST_F(PrefixTable, UnusableArgumentsEndWithTwo) {
  const auto refuses = [&](const std::vector<std::string>& arguments, const char* part) {
    const ProcessResult r = run(arguments);
    EXPECT_EQ(r.code, 2) << part;
    EXPECT_NE(r.err.find(part), r.err.npos) << r.err;
    EXPECT_EQ(r.out, "");
  };
  refuses({"run", "--preset", "huge"}, "smoke, quickstart, cpu, paper");
  refuses({"run", "--preset", "smoke", "--methods", "lora,magic"}, "magic is none of zero-shot");
  refuses({"run", "--preset", "smoke", "--methods", "lora,"}, "a name is empty");
  refuses({"run", "--preset", "smoke", "--cell", "8"}, "cells 0 to 7");
  refuses({"run", "--preset", "smoke", "--cells", "3"}, "range like 0-3");
  refuses({"run", "--preset", "smoke", "--seeds", "0"}, "--seeds");
  refuses({"run", "--preset", "smoke", "--model", "x"}, "makes its own model");
  refuses({"run", "--preset", "smoke", "--format", "pdf"}, "--format pdf");
  refuses({"run", "--preset", "smoke", "--data", folder / "nowhere"}, "nowhere");
  refuses({"run", "--preset", "quickstart", "--model", folder / "nothing"}, "nothing");
  refuses({"show", "--preset", "smoke", "--cell", "8"}, "cells 0 to 7");
  refuses({"dance"}, "dance");
  refuses({}, "");
  EXPECT_FALSE(file_exists(folder / "results"));
  // What was there before stays.
  make_directories(folder / "mine/results");
  EXPECT_EQ(run({"run", "--preset", "quickstart", "--model", folder / "nothing"}, "mine/results/").code, 2);
  EXPECT_TRUE(list_directory(folder / "mine/results").empty());
}

TEST_F(PrefixTable, HelpTeaches) {
  const ProcessResult help = run({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* part : {"Prefix-Tuning", "plan", "run", "show", "smoke", "quickstart", "cpu", "paper",
                           "run --preset smoke", "Exit codes"})
    EXPECT_NE(help.out.find(part), help.out.npos) << part;
  const ProcessResult of_run = run_process({program_path("prefix_table_to_text"), "run", "--help"});
  for (const char* part :
       {"--methods", "--cells", "--results", "--data", "--seeds", "--threads", "--dtype", "--device", "--quiet"})
    EXPECT_NE(of_run.out.find(part), of_run.out.npos) << part;
}

}  // namespace
}  // namespace cambium::testing
