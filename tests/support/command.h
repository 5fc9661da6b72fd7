// Tests of the program `cambium` as a process, with real files.
#pragma once

#include <algorithm>
#include <filesystem>

#include "core/files.h"
#include "core/hdf5.h"
#include "tests/support/files.h"
#include "tests/support/golden.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace cambium::testing {

class Command : public ::testing::Test {
 protected:
  const TemporaryDirectory folder;
  const std::string gpt2 = golden_path("models/gpt2"), llama = golden_path("models/llama_gqa"),
                    bert = golden_path("models/bert"), t5 = golden_path("models/t5"), bart = golden_path("models/bart");

  // Its cache is in the test's folder, and float32 makes results those of every machine.
  static std::vector<std::string> command(const std::vector<std::string>& arguments) {
    std::vector<std::string> all{program_path("cambium")};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
  ProcessOptions options(ProcessOptions given = {}) const {
    given.environment.emplace("CAMBIUM_HOME", folder / "home");
    return given;
  }
  ProcessResult run(const std::vector<std::string>& arguments, ProcessOptions given = {}) const {
    return run_process(command(arguments), options(std::move(given)));
  }
  // Runs to a good end.
  ProcessResult good(const std::vector<std::string>& arguments, ProcessOptions given = {}) const {
    ProcessResult result = run(arguments, std::move(given));
    EXPECT_EQ(result.code, 0) << said(arguments, result);
    return result;
  }
  // Ends with the code, one to three lines on standard error that hold all the parts, nothing else, and no new files.
  void bad(const std::vector<std::string>& arguments, std::initializer_list<std::string_view> parts, int code = 2,
           ProcessOptions given = {}) const {
    const auto before = files();
    const ProcessResult result = run(arguments, std::move(given));
    EXPECT_EQ(result.code, code) << said(arguments, result);
    EXPECT_EQ(result.out, "") << said(arguments, result);
    EXPECT_TRUE(result.err.starts_with("error: ") && result.err.ends_with("\n")) << said(arguments, result);
    const auto lines = std::count(result.err.begin(), result.err.end(), '\n');
    EXPECT_TRUE(lines >= 1 && lines <= 3) << said(arguments, result);
    for (const std::string_view part : parts)
      EXPECT_NE(result.err.find(part), std::string::npos) << "\"" << part << "\" is not in\n"
                                                          << said(arguments, result);
    EXPECT_EQ(files(), before) << said(arguments, result);
  }
  static std::string said(const std::vector<std::string>& arguments, const ProcessResult& r) {
    std::string text = "cambium";
    for (const std::string& a : arguments) text += " " + (a.size() > 300 ? a.substr(0, 300) + "..." : a);
    return text + "\ncode " + std::to_string(r.code) + ", signal " + std::to_string(r.signal) + "\n" +
           r.out.substr(0, 2000) + "\n" + r.err.substr(0, 2000);
  }

  // Everything below the test's folder but the cache.
  std::vector<std::string> files() const {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path()))
      if (!entry.path().string().starts_with(folder / "home")) all.push_back(entry.path().string());
    std::sort(all.begin(), all.end());
    return all;
  }
  std::string put(const std::string& name, std::string_view bytes) const {
    put_file(folder / name, bytes);
    return folder / name;
  }
  // A copy of a model's directory, to be spoiled.
  std::string copied(const std::string& model, const std::string& name = "model") const {
    std::filesystem::copy(model, folder / name);
    return folder / name;
  }
  nlohmann::json json_of(const ProcessResult& result) const {
    auto j = nlohmann::json::parse(result.out, nullptr, false);
    EXPECT_FALSE(j.is_discarded()) << result.out;
    return j;
  }
  std::string cases(const std::string& model) const { return model + "/cases.json"; }

  // A small batch.json for decoders.
  std::string batch() const {
    return put("batch.json", R"({"inputs": [[5,6,7,8,9],[10,11,12],[13,14,15,16,17,18,19],[20,21],[22,23,24,25]],
                                 "targets": [[5,6,7,8,9],[10,11,12],[13,14,15,16,17,18,19],[20,21],[22,23,24,25]]})");
  }
  std::vector<std::string> train_arguments(const std::string& output, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> all{"train",    "--model",       gpt2,
                                 "--tuner",  "lora",          "--option",
                                 "rank=2",   "--batches",     folder / "batch.json",
                                 "--output", folder / output, "--dtype",
                                 "f32",      "--quiet"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

}  // namespace cambium::testing
