// What ./quickstart and ./run-tests say when packages, configuring or the build fail: one line that tells what to do.
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "core/files.h"
#include "tests/support/files.h"
#include "tests/support/paths.h"
#include "tests/support/process.h"

namespace cambium::testing {
namespace {

namespace fs = std::filesystem;

// A copy of tools/ beside programs that fail as the real ones do.
class Setup : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder / "tools"), fs::create_directories(folder / "bin");
    for (const char* name : {"setup.sh", "errors.txt", "provides.txt", "packages.txt"})
      fs::copy(source_path("tools") + "/" + name, folder / (std::string("tools/") + name));
    program("dpkg-query", "echo installed");
    program("cmake", "exit 0");
  }
  void program(const std::string& name, const std::string& body) const {
    const fs::path path = folder / ("bin/" + name);
    put_file(path, "#!/bin/sh\n" + body + "\n");
    fs::permissions(path, fs::perms::owner_all);
  }
  // A program that prints the log and fails. Real ones print to either stream.
  void failing(const std::string& name, const std::string& log) const {
    put_file(folder / (name + ".log"), log);
    program(name, "cat '" + (folder / (name + ".log")) + "' >&2; exit 1");
  }
  ProcessResult run(const std::string& commands, std::map<std::string, std::string> environment = {}) const {
    environment.emplace("PATH", (folder / "bin") + ":" + std::getenv("PATH"));
    return run_process(
        {"/bin/bash", "-c", "set -euo pipefail; cd '" + folder.path() + "'; install=1; . tools/setup.sh; " + commands},
        {.environment = environment});
  }
  // The error is the last line, has no other beside it, and nothing of the log is shown.
  void expect_one_line(const ProcessResult& r, const std::string& text, const std::string& log) const {
    EXPECT_EQ(r.code, 1) << r.out << r.err;
    const size_t at = r.err.find("error: ");
    ASSERT_NE(at, r.err.npos) << r.err;
    EXPECT_EQ(r.err.find('\n', at), r.err.size() - 1) << r.err;
    EXPECT_EQ(r.err.rfind("error: "), at) << r.err;
    EXPECT_NE(r.err.find(text, at), r.err.npos) << r.err;
    EXPECT_NE(r.err.find("output is in " + log, at), r.err.npos) << r.err;
  }
  const TemporaryDirectory folder;
};

struct Known {
  std::string_view log;      // as the program writes it
  std::string_view message;  // the whole of it
};

// With the log's own words in the middle of others, as they stand there.
constexpr Known kCmake[] = {
    {"CMake Error at /usr/share/cmake-3.25/Modules/FindPackageHandleStandardArgs.cmake:230 (message):\n"
     "  Could NOT find HDF5 (missing: HDF5_LIBRARIES HDF5_INCLUDE_DIRS C) (found version \"\")\n"
     "Call Stack (most recent call first):\n",
     "HDF5 is missing: apt-get install libhdf5-dev"},
    {"-- Could NOT find OpenMP_C (missing: OpenMP_C_FLAGS)\n"
     "CMake Error at cmake/CambiumTargets.cmake:7 (find_package):\n"
     "  By not providing \"Findnlohmann_json.cmake\" in CMAKE_MODULE_PATH this project\n"
     "  has asked CMake to find a package configuration file provided by\n"
     "  \"nlohmann_json\", but CMake did not find one.\n\n"
     "  Could not find a package configuration file provided by \"nlohmann_json\"\n"
     "  with any of the following names:\n",
     "nlohmann_json is missing: apt-get install nlohmann-json3-dev"},
    {"CMake Error at cmake/CambiumTargets.cmake:14 (find_library):\n"
     "  Could not find STEMMER_LIBRARY using the following names: stemmer\n",
     "STEMMER is missing: apt-get install libstemmer-dev"},
    {"-- Checking for module 'libzip'\n--   No package 'libzip' found\nCMake Error at ...:607 (message):\n"
     "  A required package was not found\n",
     "libzip is missing: apt-get install libzip-dev"},
    {"CMake Error: CMake was unable to find a build program corresponding to \"Ninja\".  CMAKE_MAKE_PROGRAM is not "
     "set.\n"
     "CMake Error: CMAKE_CXX_COMPILER not set, after EnableLanguage\n",
     "ninja is missing: apt-get install ninja-build"},
    {"CMake Error at CMakeLists.txt:3 (project):\n  No CMAKE_CXX_COMPILER could be found.\n",
     "g++ is missing: apt-get install g++"},
    {"tools/setup.sh: line 99: cmake: command not found\n", "cmake is missing: apt-get install cmake"},
    {"CMake Error at CMakeLists.txt:2 (cmake_minimum_required):\n"
     "  CMake 3.22 or higher is required.  You are running version 3.18.4\n",
     "CMake 3.18.4 is too old, 3.22 or later is needed: Debian 12 and Ubuntu 22.04 have one"},
    {"CMake Error at CMakeLists.txt:20 (message):\n"
     "  Compiler too old: g++ 10.2.1.  11 or later is needed (CXX)\n",
     "g++ 10.2.1 is too old, 11 or later is needed: name another (CXX=g++-12 in front of the command, after rm -r "
     "build)"},
    {"CMake Error: The current CMakeCache.txt directory /b/build/CMakeCache.txt is different than the directory "
     "/a/build where CMakeCache.txt was created.\n"
     "CMake Error: The source \"/b/CMakeLists.txt\" does not match the source \"/a/CMakeLists.txt\" used to generate "
     "cache.  Re-run cmake with a different source directory.\n",
     "build/ was made for another folder, from which this one was moved or copied: rm -r build, and start again"},
};

constexpr Known kCompiler[] = {
    {"/root/c/core/files.cpp:3:10: fatal error: zip.h: No such file or directory\n    3 | #include <zip.h>\n",
     "zip.h is missing: apt-get install libzip-dev"},
    {"models/tokenizers/case.cpp:5:10: fatal error: unicode/brkiter.h: No such file or directory\n",
     "unicode/brkiter.h is missing: apt-get install libicu-dev"},
    {"/usr/bin/ld: cannot find -lsentencepiece_train: No such file or directory\n",
     "sentencepiece_train is missing: apt-get install libsentencepiece-dev"},
    {"/root/c/own.cpp:1:10: fatal error: core/gone.h: No such file or directory\n", "core/gone.h is missing"},
    {"FAILED: x.o\nc++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.\n",
     "memory ran out while compiling: start again with fewer processes (JOBS=1 in front of the command)"},
    {"cc1plus: out of memory allocating 65536 bytes after a total of 1234567890 bytes\n",
     "memory ran out while compiling: start again with fewer processes (JOBS=1 in front of the command)"},
    {"/usr/bin/ld: final link failed: No space left on device\n",
     "the disk is full: free some GB (df -h shows where), and start again"},
    {"/tmp/ccX.s: fatal error: error writing to /tmp/ccX.s: No space left on device\r\n",
     "the disk is full: free some GB (df -h shows where), and start again"},
    {"Cannot create temporary file in /tmp/: Permission denied\nc++: internal compiler error: Aborted\n",
     "/tmp/ cannot be written: name another folder for temporary files (TMPDIR=FOLDER in front of the command)"},
    {"c++: error: unrecognized command-line option '-std=c++20'; did you mean '-std=c++2a'?\n",
     "this C++ compiler is too old, g++ 11 or later is needed: name another (CXX=g++-12 in front of the command, after "
     "rm -r build)"},
    {"cc1plus: error: bad value ('x86-64-v3') for '-march=' switch\n",
     "this C++ compiler is too old, g++ 11 or later is needed: name another (CXX=g++-12 in front of the command, after "
     "rm -r build)"},
};

constexpr Known kApt[] = {
    {"Err:1 http://packages.test/debian bookworm InRelease\n  Temporary failure resolving 'packages.test'\n"
     "W: Failed to fetch http://packages.test/debian/dists/bookworm/InRelease  Temporary failure resolving\n",
     "packages.test is not found: see whether the network is there"},
    {"  Could not connect to packages.test:80 (192.0.2.1), connection timed out\n",
     "packages.test:80 does not answer: see whether the network is there, and whether a proxy has to be named "
     "(http_proxy)"},
    {"E: Unable to locate package libcli11-dev\n",
     "this system's sources have no package libcli11-dev (on Ubuntu: add-apt-repository universe)"},
    {"E: Package 'libcli11-dev' has no installation candidate\n",
     "this system's sources have no package libcli11-dev (on Ubuntu: add-apt-repository universe)"},
    {"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 1234 (apt-get)\n",
     "another program is installing packages: wait for it, and start again"},
    {"E: You don't have enough free space in /var/cache/apt/archives/.\n",
     "the disk is full: free some GB in /var/cache/apt/archives/ (df -h), and start again"},
    {"E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.\n",
     "an earlier installation was interrupted: run dpkg --configure -a as root, and start again"},
};

TEST_F(Setup, KnowsWhatToDo) {
  std::string commands, expected;
  int i = 0;
  for (const auto& kind : {std::vector<Known>(std::begin(kCmake), std::end(kCmake)),
                           std::vector<Known>(std::begin(kCompiler), std::end(kCompiler)),
                           std::vector<Known>(std::begin(kApt), std::end(kApt))})
    for (const Known& known : kind) {
      const std::string name = "log" + std::to_string(i++);
      put_file(folder / name,
               "-- The CXX compiler identification is GNU 12.2.0\n" + std::string(known.log) + "last line\n");
      commands += "explanation " + name + "; ";
      expected += std::string(known.message) + "\n";
    }
  const ProcessResult r = run(commands);
  EXPECT_EQ(r.out, expected) << r.err;
  put_file(folder / "other", "-- Could NOT find OpenMP_C (missing: OpenMP_C_FLAGS)\nerror: something else\n");
  EXPECT_EQ(run("explanation other").out, "");
}

TEST_F(Setup, SaysItInOneLine) {
  failing("cmake", std::string(kCmake[0].log));
  expect_one_line(run("build all"), kCmake[0].message.data(), "build/build.log");
  // The build: first cmake configures, then it builds.
  put_file(folder / "compiler.log", kCompiler[4].log);
  program("cmake", "[ $1 = --preset ] || { cat compiler.log; exit 1; }");
  expect_one_line(run("build all"), "memory ran out", "build/build.log");
  program("dpkg-query", "exit 1");
  failing("apt-get", std::string(kApt[0].log));
  expect_one_line(run("install_packages"), "packages.test is not found", "/tmp");
}

// What nobody foresaw: the compiler's own words, or the end of the log.
TEST_F(Setup, ShowsTheLogOfOtherErrors) {
  failing("cmake", "one\ntwo\nCMake: a strange thing\n");
  const ProcessResult r = run("build all");
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(
      r.err.find("two\nCMake: a strange thing\nerror: configuring failed. All of the output is in build/build.log\n"),
      r.err.npos)
      << r.err;
}

// On a terminal ninja's progress is shown, and the log is kept all the same.
TEST_F(Setup, ExplainsOnATerminal) {
  program("cmake", "[ $1 = --preset ] || { printf '[1/2] Building\\r\\n'; cat compiler.log; exit 1; }");
  put_file(folder / "compiler.log", kCompiler[0].log);
  put_file(folder / "try", "set -euo pipefail; install=1; . tools/setup.sh; build all");
  const ProcessResult r =
      run_process({"/bin/bash", "-c", "cd '" + folder.path() + "' && script -qec '/bin/bash try' seen"},
                  {.environment = {{"PATH", (folder / "bin") + ":" + std::getenv("PATH")}}});
  EXPECT_EQ(r.code, 1);
  EXPECT_NE(r.out.find("[1/2] Building"), r.out.npos) << r.out;
  EXPECT_NE(r.out.find("error: zip.h is missing: apt-get install libzip-dev. All of"), r.out.npos) << r.out;
}

TEST_F(Setup, NamesFoldersThatCannotBeWritten) {
  program("dpkg-query", "exit 1");
  const ProcessResult tmp = run("install_packages", {{"TMPDIR", "/nowhere"}});
  EXPECT_EQ(tmp.code, 1);
  EXPECT_NE(tmp.err.find("error: /nowhere cannot be written: name another"), tmp.err.npos) << tmp.err;
  put_file(folder / "build", "a file");
  const ProcessResult build = run("build all");
  EXPECT_EQ(build.code, 1);
  EXPECT_NE(build.err.find("/build cannot be written: was it made by another user"), build.err.npos) << build.err;
}

TEST_F(Setup, JobsAreTheUsers) {
  program("cmake", "echo \"$*\" >>calls");
  EXPECT_EQ(run("build all", {{"JOBS", "7"}}).code, 0);
  EXPECT_NE(read_text_file(folder / "calls").find("--build build --parallel 7 --target all"), std::string::npos);
}

std::set<std::string> words_of(const std::string& text) {
  std::set<std::string> words;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in(line.substr(0, line.find('#')));
    for (std::string word; in >> word;) words.insert(word);
  }
  return words;
}

// A new dependency comes with its package: whatever CMake looks for is in the table, and is installed unless the build
// does without it (QUIET).
TEST_F(Setup, KnowsThePackageOfWhateverCMakeLooksFor) {
  const std::regex wanted(
      "find_package\\((\\w+(?: QUIET)?)|find_library\\((\\w+)_LIBRARY |pkg_check_modules\\(\\w+ REQUIRED IMPORTED_TARGET "
      "([\\w-]+)");
  std::string commands;
  std::vector<std::string> names;
  for (const char* file : {"cmake/CambiumTargets.cmake", "tests/CMakeLists.txt"}) {
    const std::string text = read_text_file(source_path(file));
    for (std::sregex_iterator i(text.begin(), text.end(), wanted), end; i != end; ++i)
      names.push_back((*i)[1].str() + (*i)[2].str() + (*i)[3].str());
  }
  ASSERT_GE(names.size(), 12u);
  for (const std::string& name : names) commands += "echo $(package_of " + name.substr(0, name.find(' ')) + "); ";
  std::istringstream packages(run(commands).out);
  const std::set<std::string> installed = words_of(read_text_file(source_path("tools/packages.txt")));
  for (const std::string& name : names) {
    std::string package;
    std::getline(packages, package);
    const bool is_optional = name.ends_with(" QUIET");
    EXPECT_TRUE(is_optional ? !package.empty() : installed.contains(package)) << name << ": package \"" << package << '"';
  }
}

}  // namespace
}  // namespace cambium::testing
