// What surrounds a program: its environment, signals, terminal, other people's directories, and lines of text.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <sstream>
#include <thread>

#include "core/environment.h"
#include "core/files.h"
#include "core/lines.h"
#include "core/places.h"
#include "core/printable.h"
#include "core/temporaries.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

// Variables as a test wants them, put back at its end.
class Variables {
 public:
  ~Variables() {
    for (const auto& [name, value] : before_) value ? ::setenv(name, value->c_str(), 1) : ::unsetenv(name);
  }
  void set(const char* name, const char* value) {
    const char* const now = std::getenv(name);
    before_.emplace_back(name, now ? std::optional<std::string>(now) : std::nullopt);
    value ? ::setenv(name, value, 1) : ::unsetenv(name);
  }

 private:
  std::vector<std::pair<const char*, std::optional<std::string>>> before_;
};

TEST(Environment, OneRuleForTheCache) {
  Variables v;
  v.set("CAMBIUM_HOME", "/a"), v.set("XDG_CACHE_HOME", "/b"), v.set("HOME", "/c");
  EXPECT_EQ(cambium_home(), "/a");
  v.set("CAMBIUM_HOME", "");
  EXPECT_EQ(cambium_home(), "/b/cambium");
  v.set("XDG_CACHE_HOME", "relative");
  EXPECT_EQ(cambium_home(), "/c/.cache/cambium");
  v.set("XDG_CACHE_HOME", nullptr);
  EXPECT_EQ(cambium_home(), "/c/.cache/cambium");
  for (const char* none : {static_cast<const char*>(nullptr), ""}) {
    v.set("HOME", none);
    EXPECT_FALSE(find_cambium_home());
    expect_error<InputError>([] { cambium_home(); }, {"CAMBIUM_HOME", "HOME"});
  }
  v.set("TMPDIR", "");
  EXPECT_EQ(temporary_place(), "/tmp");
}

TEST(Lines, OneRuleForEveryText) {
  const auto both = [](const std::string& text, const std::vector<std::string>& expected) {
    EXPECT_EQ(lines_of(text), expected);
    std::istringstream in(text);
    std::vector<std::string> streamed;
    for_each_line_of(in, "x", [&](const std::string& line, int64_t number) {
      streamed.push_back(line);
      EXPECT_EQ(number, int64_t(streamed.size()));
    });
    EXPECT_EQ(streamed, expected);
  };
  both("", {});
  both("a\nb", {"a", "b"});
  both("a\n\nb\n", {"a", "", "b"});
  both("a\r\n\r\nb\r", {"a", "", "b"});
  both("\xef\xbb\xbfhello\n\xef\xbb\xbfworld", {"hello", "\xef\xbb\xbfworld"});
  both("\xef\xbb\xbf", {""});
  std::istringstream wide("\xff\xfeh\0\n");
  expect_error<InputError>([&] { for_each_line_of(wide, "w.txt", [](const std::string&, int64_t) {}); },
                           {"w.txt", "UTF-16", "UTF-8"});
}

TEST(Printable, NothingSteersTheTerminal) {
  EXPECT_EQ(printable("plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\ttab\nline"),
            "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\ttab\nline");
  EXPECT_EQ(printable("\x1b[2J\x1b]0;title\x07"), "\\x1b[2J\\x1b]0;title\\x07");
  EXPECT_EQ(printable("a\rb\bc\x7f"), "a\\x0db\\x08c\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b31m");  // C1's CSI, as UTF-8
  EXPECT_EQ(printable("\x9b"
                      "31m"),
            "\\x9b31m");                                                      // and alone
  EXPECT_EQ(printable("\xe2\x80\xaetxt"), "\\xe2\\x80\\xaetxt");              // what follows from right to left
  EXPECT_EQ(printable("\xff\xc3("), "\\xff\\xc3(");                           // no UTF-8
  EXPECT_EQ(printable("\xed\xa0\x80\xc0\x80"), "\\xed\\xa0\\x80\\xc0\\x80");  // a surrogate, an overlong NUL
  EXPECT_EQ(in_one_line("name\nerror: forged\x1b"), "name\\nerror: forged\\x1b");
}

// The process that f ends by a signal; the signal.
template <class F>
int ended_by(const F& f) {
  const pid_t child = ::fork();
  if (child == 0) {
    f();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

TEST(Temporaries, VanishWithASignal) {
  const TemporaryDirectory place;
  for (const int signal : {SIGTERM, SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGUSR2, SIGXCPU}) {
    EXPECT_EQ(ended_by([&] {
                tidy_up_on_signals();
                const TemporaryDirectory folder(place.path());
                make_directories(folder / "a/b/c");
                put_file(folder / "a/b/c/file", "x");
                put_file(folder / "a/other", "x");
                AtomicFile file(place / "result");
                file.write("half");
                ::raise(signal);
              }),
              signal);
    EXPECT_EQ(list_directory(place.path()), std::vector<std::string>()) << signal;
  }
}

TEST(Temporaries, WhatIsDoneIsNotTouched) {
  const TemporaryDirectory place;
  EXPECT_EQ(ended_by([&] {
              tidy_up_on_signals();
              write_file(place / "result", "whole");
              { const TemporaryDirectory gone(place.path()); }
              put_file(place / ".result.tmp", "another writer's");
              ::raise(SIGTERM);
            }),
            SIGTERM);
  EXPECT_EQ(list_directory(place.path()), (std::vector<std::string>{".result.tmp", "result"}));
}

TEST(Temporaries, AChildLeavesItsParents) {
  const TemporaryDirectory place;
  EXPECT_EQ(ended_by([&] {
              tidy_up_on_signals();
              ::raise(SIGTERM);
            }),
            SIGTERM);
  EXPECT_TRUE(is_directory(place.path()));
}

TEST(Temporaries, WhatIsIgnoredStaysIgnored) {
  EXPECT_EQ(ended_by([] {
              std::signal(SIGHUP, SIG_IGN);  // nohup
              tidy_up_on_signals();
              ::raise(SIGHUP);
            }),
            0);
}

TEST(Temporaries, AFileThatIsTooLongIsAnError) {
  const TemporaryDirectory place;
  EXPECT_EQ(ended_by([&] {
              tidy_up_on_signals();
              const rlimit limit{100, 100};
              ::setrlimit(RLIMIT_FSIZE, &limit);
              try {
                write_file(place / "big", std::string(1000, 'x'));
              } catch (const Error& e) {
                ::_exit(std::string(e.what()).find("File too large") == std::string::npos);
              }
              ::_exit(1);
            }),
            0);
  EXPECT_EQ(list_directory(place.path()), std::vector<std::string>());
}

TEST(Places, WrittenToOrNot) {
  const TemporaryDirectory folder;
  EXPECT_NO_THROW(check_writable(folder / "new"));
  EXPECT_FALSE(file_exists(folder / "new"));
  put_file(folder / "file", "old");
  EXPECT_NO_THROW(check_writable(folder / "file"));
  EXPECT_EQ(read_text_file(folder / "file"), "old");
  expect_error<InputError>([&] { check_writable(folder / "none/x"); }, {"none/x", "No such file"});
  EXPECT_NO_THROW(check_new_directory(folder / "a/b/c"));
  EXPECT_FALSE(file_exists(folder / "a"));
  make_directories(folder / "empty");
  EXPECT_NO_THROW(check_new_directory(folder / "empty"));
  expect_error<InputError>([&] { check_new_directory(folder.path()); }, {"not empty"});
  expect_error<InputError>([&] { check_new_directory(folder / "file/x"); }, {"file/x", "Not a directory"});
  EXPECT_NO_THROW(check_output_directory(folder.path(), true));
  expect_error<InputError>([&] { check_output_directory(folder.path(), false); }, {"--resume", "--overwrite"});
  expect_error<InputError>([&] { check_output_directory(folder / "file", true); }, {"is a file"});
}

TEST(Places, Private) {
  const TemporaryDirectory folder;
  put_file(folder / "mine", "x");
  EXPECT_TRUE(is_private(folder.path()));
  EXPECT_TRUE(is_private(folder / "mine"));
  ASSERT_EQ(::chmod((folder / "mine").c_str(), 0666), 0);
  EXPECT_FALSE(is_private(folder / "mine"));
  EXPECT_FALSE(is_private(folder / "none"));
  EXPECT_FALSE(is_private("/tmp"));
}

TEST(Places, LinksThatLeadOut) {
  const TemporaryDirectory folder;
  make_directories(folder / "hub/snapshots/1"), make_directories(folder / "hub/blobs");
  const std::string model = folder / "hub/snapshots/1";
  put_file(folder / "secret", "key"), put_file(folder / "hub/blobs/ab", "blob"), put_file(model + "/own", "own");
  const auto link = [&](const char* to, const char* name) {
    ASSERT_EQ(::symlink(to, (model + "/" + name).c_str()), 0);
  };
  link("../../blobs/ab", "merges.txt"), link("own", "vocab.txt"), link("../../../secret", "tokenizer.json");
  link("nowhere", "broken");
  EXPECT_EQ(read_inside(model, "own"), "own");
  EXPECT_EQ(read_inside(model, "vocab.txt"), "own");
  EXPECT_EQ(read_inside(model, "merges.txt"), "blob");
  expect_error<InputError>([&] { read_inside(model, "tokenizer.json"); },
                           {"tokenizer.json", folder / "secret", "copy"});
  expect_error<InputError>([&] { read_inside(model, "broken"); }, {"broken"});
}

TEST(Places, APipeThatNobodyWritesToEnds) {
  const TemporaryDirectory folder;
  const std::string pipe = folder / "config.json";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_error<InputError>([&] { read_text_file(pipe); }, {pipe, "pipe", "nobody writes"});
  std::thread late([&] {
    ::usleep(300'000);
    put_file(pipe, "{\"a\": 1}");
  });
  EXPECT_EQ(read_text_file(pipe), "{\"a\": 1}");
  late.join();
}

}  // namespace
}  // namespace cambium::testing
