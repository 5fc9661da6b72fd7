// What README, docs and comments name exists: paths and links, options, symbols, tests, variables of CMake.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/files.h"
#include "tests/support/paths.h"

namespace cambium::testing {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

bool is_word(char c) { return std::isalnum(uint8_t(c)) || c == '_'; }
bool one_of(const std::string& s, std::initializer_list<const char*> all) {
  return std::find(all.begin(), all.end(), s) != all.end();
}
std::string extension(const std::string& path) { return fs::path(path).extension(); }

// Files and folders of the tree, from its root; not what .gitignore names.
const std::set<std::string>& tree() {
  static const std::set<std::string> all = [] {
    std::set<std::string> paths;
    const fs::path root = source_path("");
    for (fs::recursive_directory_iterator i(root), end; i != end; ++i) {
      const std::string name = i->path().filename();
      const bool ignored = i.depth() == 0 && (name.starts_with("build") || one_of(name, {"runs", "results", ".git"}));
      if (ignored || name == "__pycache__") i.disable_recursion_pending();
      else paths.insert(fs::relative(i->path(), root));
    }
    return paths;
  }();
  return all;
}

Strings files_where(const std::function<bool(const std::string&)>& wanted) {
  Strings files;
  for (const std::string& path : tree())
    if (wanted(path) && !fs::is_directory(source_path(path))) files.push_back(path);
  return files;
}

bool is_source(const std::string& path) { return one_of(extension(path), {".h", ".cpp", ".cu", ".cuh"}); }
bool is_script(const std::string& path) {
  return one_of(path, {"quickstart", "run-tests", ".ci/run", "bench/busy", "bench/compare", "bench/scale",
                       "tools/ci-gpu", "tools/fresh-machine", "tools/test-aarch64"}) ||
         one_of(extension(path), {".sh", ".py", ".cmake"}) || path.ends_with("CMakeLists.txt") ||
         path.ends_with("CMakePresets.json");
}

// A source cut in two: its code with its strings, and its comments line by line.
struct Source {
  std::string path, code;
  Strings comments;
};

// Where a string or character that opens at `from` ends; '\'' within a number opens none.
size_t end_of_literal(const std::string& text, size_t from) {
  if (text[from] == '"' && from > 0 && text[from - 1] == 'R') {
    const std::string close = ")" + text.substr(from + 1, text.find('(', from) - from - 1) + "\"";
    return std::min(text.size(), text.find(close, from) + close.size());
  }
  if (text[from] == '\'' && from > 0 && is_word(text[from - 1])) return from + 1;
  size_t i = from + 1;
  while (i < text.size() && text[i] != text[from] && text[i] != '\n') i += text[i] == '\\' ? 2 : 1;
  return std::min(text.size(), i + 1);
}

Source read_source(const std::string& path) {
  const std::string text = read_text_file(source_path(path));
  Source source{path, "", {}};
  for (size_t i = 0; i < text.size();) {
    size_t end = i + 1;
    if (text.compare(i, 2, "//") == 0) {
      end = std::min(text.size(), text.find('\n', i));
      source.comments.push_back(text.substr(i, end - i));
    } else {
      if (text[i] == '"' || text[i] == '\'') end = end_of_literal(text, i);
      source.code.append(text, i, end - i);
    }
    i = end;
  }
  return source;
}

// Everything that a name may stand for: words and options of sources and scripts, and the tests.
struct Known {
  std::vector<Source> sources;
  std::set<std::string> words, options, tests;
  std::set<std::string> words_outside_tests;  // of sources
};

void take(const std::string& code, Known& known) {
  for (size_t i = 0; i < code.size();) {
    size_t end = i;
    while (end < code.size() && is_word(code[end])) ++end;
    if (end > i) known.words.insert(code.substr(i, end - i));
    if (code.compare(i, 2, "--") == 0) {
      size_t stop = i + 2;
      while (stop < code.size() && (is_word(code[stop]) || code[stop] == '-')) ++stop;
      known.options.insert(code.substr(i, stop - i));
    }
    i = std::max(end, i + 1);
  }
}

const Known& known() {
  static const Known all = [] {
    Known k;
    const std::regex test("TEST(?:_F|_P)?\\((\\w+), (\\w+)\\)");
    for (const std::string& path : files_where(is_source)) {
      k.sources.push_back(read_source(path));
      const std::string& code = k.sources.back().code;
      Known own;
      take(code, own);
      if (!path.starts_with("tests/")) k.words_outside_tests.insert(own.words.begin(), own.words.end());
      k.words.merge(own.words), k.options.merge(own.options);
      for (size_t at = code.find("TEST"); at != code.npos; at = code.find("TEST", at + 4)) {
        std::smatch found;
        const std::string line = code.substr(at, code.find('\n', at) - at);
        if (std::regex_search(line, found, test)) k.tests.insert(found[1].str() + "." + found[2].str());
      }
    }
    for (const std::string& path : files_where(is_script)) {
      std::istringstream lines(read_text_file(source_path(path)));
      for (std::string line; std::getline(lines, line);)
        if (const size_t at = line.find_first_not_of(' '); at != line.npos && line[at] != '#') take(line, k);
    }
    return k;
  }();
  return all;
}

bool is_known_word(const std::string& word) { return known().words.contains(word); }

Strings found_in(const std::string& text, const std::string& pattern, int group = 0) {
  static std::map<std::string, std::regex> made;  // making one takes longer than using it
  const std::regex& regex = made.try_emplace(pattern, pattern).first->second;
  Strings all;
  for (std::sregex_iterator i(text.begin(), text.end(), regex), end; i != end; ++i) all.push_back((*i)[size_t(group)]);
  return all;
}

// `named`: as it stands in a text, from the root or from any folder; * stands for anything.
bool exists(std::string named) {
  while (named.ends_with('/')) named.pop_back();
  if (named.find('*') == named.npos) {
    return tree().contains(named) || std::any_of(tree().begin(), tree().end(),
                                                 [&](const std::string& path) { return path.ends_with("/" + named); });
  }
  std::string pattern;  // of a regular expression
  for (const char c : named) pattern += c == '*' ? "[^/]*" : is_word(c) ? std::string(1, c) : std::string("\\") + c;
  const std::regex whole("(.*/)?" + pattern);
  return std::any_of(tree().begin(), tree().end(), [&](const std::string& p) { return std::regex_match(p, whole); });
}

// A path of ours: it begins with one of the folders, or is the bare name of a source.
bool is_path(const std::string& word) {
  const size_t slash = word.find('/');
  if (slash != word.npos && slash > 0 && tree().contains(word.substr(0, slash))) return true;
  return one_of(extension(word), {".h", ".cpp", ".cu", ".cuh", ".py", ".md", ".cmake"});
}

// Names of other people's files, and one that stands for any.
bool is_foreign(const std::string& word) {
  return one_of(word, {"llama.cpp", "encoder.py", "pip.py", "src/llama-vocab.cpp", "measure_scores.py",
                       "onnx/docs/Operators.md", "tensorflow/core/lib/io/record_writer.h"}) ||
         word.find("github.com/") != word.npos;
}

void expect_paths(const std::string& where, const std::string& text) {
  if (text.find_first_of("/.", 2) == text.npos) return;
  for (std::string word : found_in(text, "[A-Za-z0-9_.*/-]+")) {
    while (!word.empty() && (word.back() == '.' || word.back() == '-')) word.pop_back();
    if (word.starts_with("./")) word.erase(0, 2);
    EXPECT_TRUE(!is_path(word) || is_foreign(word) || exists(word))
        << where << " names " << word << ", which is not there";
  }
}

// Qualified names, tests, options, and variables of CMake and of the environment.
void expect_symbols(const std::string& where, const std::string& text) {
  for (const std::string& symbol : found_in(text, "\\b[A-Za-z_]\\w*(?:::\\w+)+")) {
    if (symbol.starts_with("std::") || symbol.starts_with("torch::")) continue;
    for (const std::string& word : found_in(symbol, "\\w+"))
      EXPECT_TRUE(is_known_word(word)) << where << " names " << symbol << ", and no code has " << word;
  }
  for (const std::string& test : found_in(text, "\\b[A-Z][a-z]\\w*\\.[A-Z][a-z]\\w+"))
    EXPECT_TRUE(known().tests.contains(test)) << where << " names the test " << test;
  for (const std::string& option : found_in(text, "(?:^|[\\s(`'\"])(--[a-z][a-z0-9_-]*)", 1))
    EXPECT_TRUE(known().options.contains(option)) << where << " names the option " << option;
  for (const std::string& variable : found_in(text, "\\bCAMBIUM_[A-Z_]+"))
    EXPECT_TRUE(is_known_word(variable)) << where << " names " << variable;
}

// What stands between backticks: a word, or a call.
void expect_code(const std::string& where, const std::string& span) {
  expect_paths(where, span);
  expect_symbols(where, span);
  for (const std::string& word : found_in(span, "^([A-Za-z_]\\w*)(?:\\(.*\\)|<.*>)?$", 1))
    EXPECT_TRUE(is_known_word(word)) << where << " names `" << span << "`, and no code has " << word;
}

struct Document {
  std::string path, prose, blocks;  // blocks: what stands between ```
  Strings spans;                    // what stands between ` in the prose
};

std::vector<Document> documents() {
  std::vector<Document> all;
  for (const std::string& path : files_where([](const std::string& p) {
         return p.ends_with(".md") && (p.find('/') == p.npos || p.starts_with("docs/") || p.starts_with("tests/"));
       })) {
    Document d{path, "", "", {}};
    std::istringstream lines(read_text_file(source_path(path)));
    bool inside = false;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("```")) inside = !inside;
      else (inside ? d.blocks : d.prose) += line + "\n";
    }
    d.spans = found_in(d.prose, "`([^`]+)`", 1);
    all.push_back(std::move(d));
  }
  return all;
}

// What is said not to be there yet, which must be so.
std::string missing_paragraph(const Document& d) {
  const size_t at = d.prose.find("\nNot there yet: ");
  return at == d.prose.npos ? "" : d.prose.substr(at, d.prose.find("\n\n", at) - at);
}

TEST(Claims, DocumentsNameWhatExists) {
  int spans = 0;
  for (const Document& d : documents()) {
    const std::string missing = missing_paragraph(d);
    for (const std::string& span : d.spans) {
      ++spans;
      if (missing.find("`" + span + "`") == missing.npos) expect_code(d.path, span);
    }
    if (!d.path.starts_with("docs/add-an-op")) expect_symbols(d.path, d.blocks);
    expect_paths(d.path, d.blocks);
  }
  EXPECT_GT(spans, 500);
}

TEST(Claims, WhatIsNotThereYetIsNot) {
  int names = 0;
  for (const Document& d : documents())
    for (const std::string& name : found_in(missing_paragraph(d), "`(\\w+)=?`", 1)) {
      ++names;
      EXPECT_FALSE(known().words_outside_tests.contains(name))  // tests use such names for what is refused
          << d.path << " says that " << name << " is not there yet";
    }
  EXPECT_GT(names, 0);
}

// The name of a heading, as it stands in links.
std::string anchor_of(const std::string& heading) {
  std::string anchor;
  for (const char c : heading)
    if (is_word(c) || c == '-' || c == ' ') anchor += c == ' ' ? '-' : char(std::tolower(c));
  return anchor;
}

TEST(Claims, LinksLeadSomewhere) {
  int links = 0;
  for (const Document& d : documents())
    for (const std::string& link : found_in(d.prose, "\\]\\(([^)\\s]+)\\)", 1)) {
      if (link.starts_with("http")) continue;
      ++links;
      const std::string path = link.substr(0, link.find('#'));
      const std::string target =
          path.empty() ? d.path : (fs::path(d.path).parent_path() / path).lexically_normal().string();
      ASSERT_TRUE(tree().contains(target)) << d.path << " links to " << link;
      if (path.size() == link.size()) continue;
      Strings anchors;
      for (const std::string& heading : found_in("\n" + read_text_file(source_path(target)), "\n#+ ([^\n]*)", 1))
        anchors.push_back(anchor_of(heading));
      EXPECT_NE(std::find(anchors.begin(), anchors.end(), link.substr(path.size() + 1)), anchors.end())
          << d.path << " links to " << link;
    }
  EXPECT_GT(links, 20);
}

TEST(Claims, CommentsNameWhatExists) {
  int comments = 0;
  for (const Source& source : known().sources)
    for (const std::string& comment : source.comments) {
      ++comments;
      expect_paths(source.path, comment);
      expect_symbols(source.path, comment);
      for (const std::string& span : found_in(comment, "`([^`]+)`", 1)) expect_code(source.path, span);
    }
  EXPECT_GT(comments, 3000);
}

// Programs that commands in the documents start.
TEST(Claims, CommandsStartProgramsThatExist) {
  for (const Document& d : documents()) {
    for (const std::string& name : found_in(d.prose + d.blocks, "build/bin/(\\w+)", 1)) {
      const bool test = name.starts_with("test_") && tree().contains("tests/" + name.substr(5));
      EXPECT_TRUE(test || tree().contains("experiments/" + name + ".cpp") ||
                  tree().contains("examples/" + name + ".cpp"))
          << d.path << " names build/bin/" << name;
    }
    for (const std::string& preset : found_in(d.prose + d.blocks, "cmake --preset (\\w+)", 1))
      EXPECT_NE(read_text_file(source_path("CMakePresets.json")).find("\"name\": \"" + preset + "\""),
                std::string::npos)
          << d.path << " names the preset " << preset;
    for (const std::string& command : found_in(d.blocks, "\\bcambium ([a-z]+) ", 1))
      EXPECT_TRUE(is_known_word(command)) << d.path << " names cambium " << command;
  }
}

}  // namespace
}  // namespace cambium::testing
