// The scripts of bench/ with programs that only pretend to measure: what they make of figures, and of failures.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/files.h"
#include "tests/support/files.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace cambium::testing {
namespace {

namespace fs = std::filesystem;

class Bench : public ::testing::Test {
 protected:
  // What a program prints, chosen by its arguments as the shell's case does.
  std::string program(const std::string& name, const std::string& cases) const {
    const fs::path path = folder / name;
    put_file(path, "#!/bin/sh\necho \"$*\" >>" + (folder / "calls") + "\ncase \"$*\" in\n" + cases + "esac\n");
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }
  std::string cambium() const {
    return program("cambium", R"(
*"bench peak"*) echo '{"machine":"A processor, 2 threads","level":"avx2","f32_flops":2e11,"bf16_flops":0,"read_bytes_s":2e10}' ;;
*"length 2048"*) exec sleep 60 ;;
*) cat /proc/$PPID/task/$PPID/children >"$0.beside"; echo '{"step_s":2.0,"cpu_s":4.0,"tok_s":256,"rss_mib":700,"flops":1e11,"share":0.25}' ;;
)");
  }
  std::string peer() const {
    return program("python", R"(
*compiled*) echo 'a line of a library'; echo '{"step_s":3.0,"cpu_s":5.0,"tok_s":170,"rss_mib":2000}' ;;
*"form bfloat16"*) echo 'Traceback' >&2; echo 'RuntimeError: no such type' >&2; exit 3 ;;
*"form autocast"*) exec sleep 60 ;;
*) echo '{"step_s":5.0,"cpu_s":9.0,"tok_s":100,"rss_mib":2000}' ;;
)");
  }
  ProcessResult run(const std::string& script, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(),
                     {"/usr/bin/env", "python3", "-B", source_path("bench/" + script), "--program", cambium()});
    return run_process(arguments);
  }
  std::string calls() const { return read_text_file(folder / "calls"); }
  const TemporaryDirectory folder;
};

void expect_parts(const std::string& text, std::initializer_list<const char*> parts) {
  for (const char* part : parts) EXPECT_NE(text.find(part), text.npos) << part << " is not in:\n" << text;
}

TEST_F(Bench, ComparesInTurnsAndMarksTheStrongestForm) {
  const ProcessResult r = run(
      "compare", {"--python", peer(), "--compiled", "--rounds", "2", "--json", folder / "all.json", "gpt2-lora-f32"});
  ASSERT_EQ(r.code, 0) << r.err;
  expect_parts(
      r.out,
      {"A processor, 2 threads; ", "level avx2", "Commit ", "float32 200 GFLOP/s, bfloat16 widened",
       "| gpt2-lora-f32 | 2.000 | 4.000 | 25 % | 256 | 700 | float32 | 5.000 | 9.000 | 2000 | 2.50 (2.50 to 2.50) |",
       "| float32-compiled | 3.000 | 5.000 | 2000 | **1.50** (1.50 to 1.50) |"});
  const auto all = nlohmann::json::parse(read_text_file(folder / "all.json"));
  EXPECT_EQ(all.at("results").at("gpt2-lora-f32").at("float32").size(), 2u);
  // Ours, eager, compiled; then the other way round.
  std::string order;
  std::istringstream lines(calls());
  for (std::string line; std::getline(lines, line);)
    order += line.find("peak") != line.npos       ? ""
             : line.find("compiled") != line.npos ? "c"
             : line.find("form") != line.npos     ? "e"
                                                  : "o";
  EXPECT_EQ(order, "oecceo");
  expect_parts(calls(), {"--dtype f32", "--threads 2"});
}

TEST_F(Bench, SaysWhatTakesTooLongAndWhatFails) {
  const ProcessResult late =
      run("compare", {"--python", peer(), "--forms", "autocast", "--timeout", "1", "gpt2-lora-bf16"});
  ASSERT_EQ(late.code, 0) << late.err;
  expect_parts(late.out, {"| autocast | more than 1 for a run |"});
  const ProcessResult failed = run("compare", {"--python", peer(), "--forms", "bfloat16", "gpt2-lora-bf16"});
  EXPECT_EQ(failed.code, 1);
  expect_parts(failed.err, {"exited with 3: RuntimeError: no such type"});
  const ProcessResult absent = run("compare", {"--python", folder / "nothing", "gpt2-lora-f32"});
  EXPECT_EQ(absent.code, 1);
  expect_parts(absent.err, {"nothing: No such file"});
  EXPECT_EQ(run("compare", {"gpt3"}).code, 2);
}

TEST_F(Bench, BusyProcessesRunBesideTheStepAndEndWithIt) {
  const ProcessResult r = run("busy", {"--rounds", "1", "--others", "3"});
  ASSERT_EQ(r.code, 0) << r.err;
  expect_parts(r.out,
               {"| cambium, f32 | 0 | 2.000 | 4.000 | 1.00 | 1.0 |", "| cambium, f32 | 3 | 2.000 | 4.000 | 1.00 |"});
  std::istringstream beside(read_text_file(folder / "cambium.beside"));
  int processes = 0;
  for (std::string id; beside >> id; ++processes) EXPECT_FALSE(fs::exists("/proc/" + id)) << "process " << id;
  EXPECT_EQ(processes, 4);  // with the program itself
}

TEST_F(Bench, DrawsWhatItCouldMeasure) {
  const ProcessResult r = run("scale", {"--only", "length", "width", "--timeout", "1", "--svg", folder / "curves.svg"});
  ASSERT_EQ(r.code, 0) << r.err;
  expect_parts(r.out, {"Against length (batch 1, layers 30, width 576):",
                       "| 1024 | 1024 | 2.000 | 4.000 | 1.95 | 0.098 | 25 % | 700 |",
                       "| 2048 | 2048 | more than 1 for a run |", "| 1152 |"});
  const std::string svg = read_text_file(folder / "curves.svg");
  expect_parts(svg, {"CPU seconds against length", "peak MiB against width", "</svg>"});
  EXPECT_EQ(svg.find("nan"), svg.npos);
}

}  // namespace
}  // namespace cambium::testing
