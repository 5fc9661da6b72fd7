// The command `report`: results of any programs as one site.
#include <gtest/gtest.h>

#include "core/files.h"
#include "experiments/lib/table/result.h"
#include "tests/support/files.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace cambium::testing {
namespace {

class ReportCommand : public ::testing::Test {
 protected:
  void put(const std::string& grid, const std::string& method, uint64_t seed, double accuracy, double trained) const {
    CellResult r{.experiment = "e",
                 .cell = {"m", method, "t<b>", seed,
                          text("{\"seed\":", seed, ",\"tuner\":{\"options\":{\"rank\":\"", method, "\"}}}")}};
    r.scores = {{"accuracy", accuracy}, {"dev_accuracy", 1}};
    r.measurements = {{"trained_parameters", trained}, {"resident_peak_bytes", 5 << 20}};
    r.notes["command"] = "prog run --preset x";
    make_directories(folder / grid + "/cells");
    save_result(folder / grid + "/cells/" + r.cell.name() + ".h5", r);
  }
  ProcessResult report(const std::string& output = "") const {
    std::vector<std::string> words = {program_path("cambium"), "report", folder / "results"};
    if (!output.empty()) words.insert(words.end(), {"--output", output});
    return run_process(words);
  }
  const TemporaryDirectory folder;
};

TEST_F(ReportCommand, GathersWhatIsFinished) {
  put("results/prog/cpu", "lora", 0, 0.5, 1000), put("results/prog/cpu", "lora", 1, 0.75, 1000);
  put("results/prog/cpu", "full", 0, 0.25, 1e6), put("results/other/smoke", "lora", 0, 0.5, 1000);
  put_file(folder / "results/prog/cpu/report.html", "<p>own</p>");
  const ProcessResult r = report();
  ASSERT_EQ(r.code, 0) << r.err;
  EXPECT_EQ(r.out, folder / "results/site/index.html" + std::string(": 2 tables\n"));
  const std::string index = read_text_file(folder / "results/site/index.html"),
                    page = read_text_file(folder / "results/site/prog.cpu.html");
  for (const char* part :
       {"href=\"prog.cpu.html\"", "href=\"other.smoke.html\"", "href=\"prog.cpu.report.html\"", "t&lt;b&gt;"})
    EXPECT_NE(index.find(part), index.npos) << part;
  EXPECT_EQ(read_text_file(folder / "results/site/prog.cpu.report.html"), "<p>own</p>");
  EXPECT_FALSE(file_exists(folder / "results/site/other.smoke.report.html"));
  for (const char* part : {"3 finished cells", ">0.6250<", ">0.2500<", ">1,000,000<", "rank=lora", "<svg",
                           "prog run --preset x", "href=\"prog.cpu.report.html\""})
    EXPECT_NE(page.find(part), page.npos) << part;
  for (const char* part : {"dev_accuracy", "<b>", "http:", "<script", "nan"})
    EXPECT_EQ(page.find(part), page.npos) << part;
  // Again: the site is no result, and its pages are replaced.
  put("results/prog/cpu", "full", 1, 0.75, 1e6);
  EXPECT_EQ(report().out, r.out);
  EXPECT_NE(read_text_file(folder / "results/site/prog.cpu.html").find("4 finished cells"), std::string::npos);
  EXPECT_EQ(report(folder / "elsewhere").code, 0);
  EXPECT_TRUE(file_exists(folder / "elsewhere/index.html"));
}

TEST_F(ReportCommand, DamagedCellsAreNamed) {
  put("results/prog/cpu", "lora", 0, 0.5, 1000);
  put_file(folder / "results/prog/cpu/cells/bad.h5", "no HDF5");
  ASSERT_EQ(report().code, 0);
  EXPECT_NE(read_text_file(folder / "results/site/prog.cpu.html").find("bad.h5"), std::string::npos);
}

TEST_F(ReportCommand, WithoutResultsThereIsNoSite) {
  EXPECT_EQ(report().code, 2);
  make_directories(folder / "results/prog/cpu");
  const ProcessResult r = report();
  EXPECT_EQ(r.code, 2);
  EXPECT_NE(r.err.find("holds no results"), r.err.npos) << r.err;
  EXPECT_FALSE(file_exists(folder / "results/site"));
}

}  // namespace
}  // namespace cambium::testing
