// ./quickstart's arguments, with programs that only say how they were called.
#include <filesystem>

#include "core/files.h"
#include "tests/support/files.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace cambium::testing {
namespace {

namespace fs = std::filesystem;

class Quickstart : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder / "tools"), fs::create_directories(folder / "build/bin");
    fs::copy(source_path("quickstart"), folder / "quickstart");
    put_file(folder / "tools/setup.sh", "say() { echo \"$*\" >&2; }\ninstall_packages() { :; }\nbuild() { :; }\n");
    script("cambium", "[ $1 = fetch ] || echo '{\"kind\":\"'$(cat kind)'\",\"parameters\":1}'");
    for (const char* name : {"prefix_table_to_text", "prefix_summarization", "lora_glue"})
      script(name, std::string("echo ") + name + " \"$*\"");
  }
  void script(const std::string& name, const std::string& body) const {
    put_file(folder / "build/bin/" + name, "#!/bin/sh\n" + body + "\n");
    fs::permissions(folder / "build/bin/" + name, fs::perms::owner_all);
  }
  std::string started(const std::string& kind, std::vector<std::string> arguments) const {
    put_file(folder / "kind", kind);
    arguments.insert(arguments.begin(), {"/bin/bash", folder / "quickstart"});
    const ProcessResult r = run_process(arguments);
    EXPECT_EQ(r.code, 0) << r.err;
    return r.out;
  }
  static std::string here() { return fs::current_path().string(); }
  const TemporaryDirectory folder;
};

TEST_F(Quickstart, PassesOnWhatItDoesNotKnow) {
  EXPECT_EQ(started("decoder", {}), "prefix_table_to_text run --preset quickstart --model smollm2-135m\n");
  EXPECT_EQ(started("seq2seq", {"--model=x", "--seeds", "3"}),
            "prefix_summarization run --preset quickstart --model x --seeds 3\n");
  EXPECT_EQ(started("encoder", {"--data", "d", "--model", "minilm-l6"}),
            "lora_glue run --preset quickstart --model minilm-l6 --data " + here() + "/d\n");
}

// They are the caller's, who may stand elsewhere.
TEST_F(Quickstart, PathsAreTheCallers) {
  EXPECT_EQ(
      started("decoder", {"--results=out", "--data", "/d"}),
      "prefix_table_to_text run --preset quickstart --model smollm2-135m --results " + here() + "/out --data /d\n");
  put_file(fs::path(here()) / "quickstart_test.model", "");
  EXPECT_EQ(started("decoder", {"--model", "quickstart_test.model"}),
            "prefix_table_to_text run --preset quickstart --model " + here() + "/quickstart_test.model\n");
  fs::remove(fs::path(here()) / "quickstart_test.model");
}

// Ubuntu 22.04 has CMake 3.22, which reads presets up to version 3.
TEST(Presets, AreOfAVersionThatTheOldestCMakeReads) {
  const std::string presets = read_text_file(source_path("CMakePresets.json"));
  EXPECT_NE(presets.find("\"version\": 2,"), presets.npos);
}

TEST_F(Quickstart, ThePresetIsTheUsers) {
  EXPECT_EQ(started("decoder", {"--preset", "cpu"}), "prefix_table_to_text run --preset cpu --model smollm2-135m\n");
  EXPECT_EQ(started("decoder", {"--methods", "all", "--preset=paper"}),
            "prefix_table_to_text run --preset paper --model smollm2-135m --methods all\n");
  EXPECT_EQ(started("decoder", {"--preset", "smoke"}), "prefix_table_to_text run --preset smoke\n");
}

}  // namespace
}  // namespace cambium::testing
