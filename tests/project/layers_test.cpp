// The rules of the house that a program can check: layers never include upwards, kernels start through one door.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/paths.h"

namespace cambium::testing {
namespace {

namespace fs = std::filesystem;

struct SourceFile {
  std::string path;  // from the root of the project
  std::vector<std::string> lines;
};

const std::vector<SourceFile>& sources() {
  static const std::vector<SourceFile> all = [] {
    std::vector<SourceFile> files;
    const fs::path root = source_path("");
    for (const char* folder : {"core", "cuda", "autograd", "models", "tuning", "experiments", "examples", "tests", "bench"})
      for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
        const std::string kind = entry.path().extension();
        if (kind != ".h" && kind != ".cpp" && kind != ".cu" && kind != ".cuh") continue;
        SourceFile file{fs::relative(entry.path(), root), {}};
        std::ifstream in(entry.path());
        for (std::string line; std::getline(in, line);) file.lines.push_back(line);
        files.push_back(std::move(file));
      }
    return files;
  }();
  return all;
}

std::string folder_of(const std::string& path) { return path.substr(0, path.find('/')); }

// Lowest first: a file includes from its own folder and from those before it.
constexpr std::string_view kLayers[] = {"core", "cuda", "autograd", "models", "tuning", "experiments"};

// Tests and benchmarks are no layer: they see everything, and nothing includes them.
int layer_of(const std::string& folder) {
  return int(std::find(std::begin(kLayers), std::end(kLayers), folder) - std::begin(kLayers));
}

TEST(Layers, NeverIncludeUpwards) {
  ASSERT_GT(sources().size(), 200u);
  const std::regex include("\\s*#\\s*include\\s*\"([a-z]+)/.*");
  int seen = 0;
  for (const SourceFile& file : sources())
    for (const std::string& line : file.lines) {
      std::smatch found;
      if (!std::regex_match(line, found, include)) continue;
      ++seen;
      EXPECT_LE(layer_of(found[1]), layer_of(folder_of(file.path))) << file.path << ": " << line;
    }
  EXPECT_GT(seen, 500);
}

// Everything else knows the GPU by the signatures in core/kernels and by cuda/runtime.h.
TEST(Layers, CudaHeadersStayInTheirFolder) {
  for (const SourceFile& file : sources()) {
    if (folder_of(file.path) == "cuda") continue;
    for (const std::string& line : file.lines) {
      const bool of_cuda = line.starts_with("#include <cuda") || line.starts_with("#include <cub") ||
                           line.starts_with("#include <cudnn") || line.starts_with("#include <nccl");
      EXPECT_FALSE(of_cuda) << file.path << ": " << line;
    }
  }
}

TEST(Layers, KernelsAreLaunchedThroughOneDoor) {
  for (const SourceFile& file : sources()) {
    if (folder_of(file.path) == "tests" || file.path == "cuda/launch.h") continue;
    for (const std::string& line : file.lines) EXPECT_EQ(line.find("<<<"), line.npos) << file.path << ": " << line;
  }
}

TEST(Layers, FilesSayWhatTheyAreFor) {
  for (const SourceFile& file : sources()) {
    if (file.path.ends_with(".cpp") && file.path.starts_with("experiments/lib/")) continue;  // their headers do
    if (file.path.ends_with(".cpp") && layer_of(folder_of(file.path)) < 5) continue;
    ASSERT_FALSE(file.lines.empty()) << file.path;
    EXPECT_TRUE(file.lines.front().starts_with("//")) << file.path << " does not open with a sentence";
  }
}

}  // namespace
}  // namespace cambium::testing
