// What a path is told to be, and what its refusal says.
#include "core/path_kind.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/hdf5.h"
#include "core/json.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

const std::string kLfs =
    "version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, '0') + "\nsize 100\n";

std::string with_length(std::string_view header) {  // how safetensors begin
  std::string bytes(8, '\0');
  bytes[0] = char(header.size() & 0xff), bytes[1] = char(header.size() >> 8);
  return bytes + std::string(header);
}

class PathKinds : public ::testing::Test {
 protected:
  std::string put(const std::string& name, std::string_view bytes) const {
    const std::string path = folder / name;
    make_directories(path.substr(0, path.rfind('/')));
    put_file(path, bytes);
    return path;
  }
  PathKind of(const std::string& name, std::string_view bytes) const { return kind_of(put(name, bytes)); }

  const TemporaryDirectory folder;
};

TEST_F(PathKinds, FilesByTheirFirstBytes) {
  EXPECT_EQ(kind_of(folder / "none"), PathKind::missing);
  EXPECT_EQ(of("empty.gguf", ""), PathKind::empty_file);
  EXPECT_EQ(of("model.safetensors", kLfs), PathKind::lfs_pointer);
  EXPECT_EQ(of("x.gguf", "GGUF\3"), PathKind::gguf);
  EXPECT_EQ(of("x-00001-of-00002.gguf", "GGUF\3"), PathKind::gguf_part);
  EXPECT_EQ(of("a.safetensors", with_length("{}      ")), PathKind::weights);
  EXPECT_EQ(of("a-00001-of-00002.safetensors", with_length("{}      ")), PathKind::weights_part);
  EXPECT_EQ(of("adapter_model.safetensors", with_length("{}      ")), PathKind::adapter_weights);
  // Lengths of headers whose bytes are those of a pickle and of a gzip file.
  EXPECT_EQ(of("b.safetensors", with_length("{" + std::string(0x27f, ' '))), PathKind::weights);
  EXPECT_EQ(of("c.safetensors", with_length("{" + std::string(0x8b1e, ' '))), PathKind::weights);
  EXPECT_EQ(of("model.safetensors.index.json", "{}"), PathKind::weights_index);
  EXPECT_EQ(of("pytorch_model.bin", std::string("PK\3\4") + std::string(26, 'x') + "archive/data.pkl"),
            PathKind::pickle);
  EXPECT_EQ(of("old", "\x80\x02}q"), PathKind::pickle);
  EXPECT_EQ(of("x.whl", "PK\3\4xxxx"), PathKind::archive);
  EXPECT_EQ(of("x.csv.xz", std::string_view("\xfd"
                                            "7zXZ\0",
                                            6)),
            PathKind::packed);
  EXPECT_EQ(of("page.json", "\n<!DOCTYPE HTML><html>"), PathKind::web_page);
  EXPECT_EQ(of("lines.txt", "\xff\xfeh\1"), PathKind::utf16_text);
  EXPECT_EQ(of("config.json", "{}"), PathKind::model_config);
  EXPECT_EQ(of("adapter_config.json", "\xef\xbb\xbf {}"), PathKind::adapter_config);
  EXPECT_EQ(of("lines", "hello\n"), PathKind::file);
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(kind_of(folder / "pipe"), PathKind::special);
}

TEST_F(PathKinds, DirectoriesByTheirNames) {
  const auto with = [&](const std::string& directory,
                        std::initializer_list<std::pair<const char*, const char*>> files) {
    for (const auto& [name, bytes] : files) put(directory + "/" + name, bytes);
    return kind_of(folder / directory);
  };
  make_directories(folder / "empty");
  EXPECT_EQ(kind_of(folder / "empty"), PathKind::empty_directory);
  EXPECT_EQ(with("model", {{"config.json", "{\"model_type\": \"gpt2\"}"}, {"model.safetensors", ""}}), PathKind::model);
  EXPECT_EQ(with("without", {{"config.json", "{\"model_type\": \"gpt2\"}"}}), PathKind::model);
  EXPECT_EQ(with("gguf", {{"a.gguf", ""}}), PathKind::model);
  EXPECT_EQ(with("pickled", {{"config.json", "{}"}, {"pytorch_model.bin", ""}}), PathKind::pickled_model);
  EXPECT_EQ(with("adapter", {{"adapter_config.json", "{}"}, {"adapter_model.safetensors", ""}}), PathKind::adapter);
  EXPECT_EQ(with("old", {{"adapter_config.json", "{}"}, {"adapter_model.bin", ""}}), PathKind::pickled_model);
  EXPECT_EQ(with("run", {{"config.json", "{}"}, {"checkpoint.h5", ""}}), PathKind::run);
  EXPECT_EQ(with("begun", {{"config.json", "{\"base_hash\": \"\", \"method\": \"lora\"}"}}), PathKind::run);
  EXPECT_EQ(with("cells", {{"3.h5", ""}}), PathKind::results);
  EXPECT_EQ(with("other", {{"notes", ""}}), PathKind::directory);
}

TEST_F(PathKinds, PartsOfWeights) {
  EXPECT_TRUE(is_part_name("model-00001-of-00002.safetensors"));
  EXPECT_TRUE(is_part_name("m-00012-of-00100.gguf"));
  for (const char* name : {"model.safetensors", "-00001-of-00002.gguf", "m-0001-of-00002.gguf", "m-00001-of-0002.gguf",
                           "m_00001-of-00002.gguf", "m-00001_of_00002.gguf", "", "x"})
    EXPECT_FALSE(is_part_name(name)) << name;
}

// Every mistake of place names what was given and what to give instead.
TEST_F(PathKinds, TheWrongThingForAnArgument) {
  put("adapter/adapter_config.json", "{\"base_model_name_or_path\": \"owner/base\"}");
  put("adapter/adapter_model.safetensors", with_length("{}      "));
  put("run/config.json", "{\"base_hash\": \"\", \"method\": \"lora\"}");
  const std::string adapter = folder / "adapter", run = folder / "run";
  const auto model = [](const std::string& path) { check_path(path, Wanted::model); };
  const auto tuner = [](const std::string& path) { check_path(path, Wanted::tuner); };
  expect_error<InputError>([&] { model(adapter); }, {adapter, "is a PEFT adapter", "--tuner", "owner/base", "--model"});
  expect_error<InputError>([&] { model(adapter + "/adapter_model.safetensors"); },
                           {"PEFT adapter", "directory", "owner/base"});
  expect_error<InputError>([&] { tuner(adapter + "/adapter_model.safetensors"); }, {"give its directory: " + adapter});
  expect_error<InputError>([&] { tuner(adapter + "/adapter_config.json"); }, {"give its directory: " + adapter});
  expect_error<InputError>([&] { tuner(run); }, {run, "training run", "no checkpoint yet"});
  put("run/checkpoint.h5", ""), put("run/tuner.h5", "");
  expect_error<InputError>([&] { tuner(run); }, {run + "/tuner.h5", run + "/checkpoint.h5"});
  expect_error<InputError>([&] { model(run); }, {"training run", "--tuner " + run + "/tuner.h5"});
  expect_error<InputError>([&] { tuner(put("x.gguf", "GGUF")); }, {"model in GGUF", "--model"});
  expect_error<InputError>([&] { model(put("m/config.json", "{}")); },
                           {"configuration of a model", "like " + folder / "m"});
  expect_error<InputError>([&] { model(put("w.bin", "\x80\2")); }, {"pickle", "runs code", "safe_serialization"});
  put("cache/snapshots/1234/config.json", "{\"model_type\": \"gpt2\"}");
  expect_error<InputError>([&] { model(folder / "cache"); }, {"but " + folder / "cache/snapshots/1234", "is a model"});
  for (const Wanted wanted : {Wanted::model, Wanted::tuner, Wanted::text, Wanted::json, Wanted::either})
    expect_error<InputError>([&] { check_path(put("pointer", kLfs), wanted); }, {"pointer", "Git LFS", "git lfs pull"});
  expect_error<InputError>([&] { check_path(run, Wanted::text); }, {run, "a file of text is needed"});
  expect_error<InputError>([&] { check_path(run, Wanted::json); }, {run, "a file of JSON is needed"});
  expect_error<InputError>([&] { check_path(folder / "pointer", Wanted::folder); }, {"directory of the files"});
  for (const Wanted wanted : {Wanted::model, Wanted::tuner, Wanted::text, Wanted::json, Wanted::folder}) {
    EXPECT_NO_THROW(check_path(folder / "none", wanted));
    if (wanted != Wanted::folder) {
      EXPECT_NO_THROW(check_path(put("plain", "x\n"), wanted));
    }
  }
  EXPECT_NO_THROW(check_path(put("nothing", ""), Wanted::text));  // a file of no lines
  EXPECT_NO_THROW(tuner(put("other.h5", "\x89HDF\r\n\x1a\n")));
  EXPECT_NO_THROW(check_tuner(adapter));
  expect_error<InputError>([&] { check_tuner(folder / "none"); }, {"none", "No such file"});
}

TEST_F(PathKinds, Hdf5ByWhatItSays) {
  const auto file = [&](const std::string& name, std::initializer_list<const char*> attributes) {
    Hdf5Writer out(folder / name);
    for (const char* a : attributes) out.attribute("/", a, std::string("x"));
    out.commit();
    return Hdf5File(folder / name);
  };
  const Hdf5File checkpoint = file("c.h5", {"format_version", "base_hash"}), model = file("m.h5", {"model_config"}),
                 logits = file("o.h5", {});
  EXPECT_EQ(kind_of(checkpoint), PathKind::checkpoint);
  EXPECT_EQ(kind_of(model), PathKind::model_file);
  EXPECT_EQ(kind_of(logits), PathKind::outputs);
  expect_error<InputError>([&] { check_path(checkpoint, Wanted::model); },
                           {"c.h5", "checkpoint of a tuner", "--tuner"});
  expect_error<InputError>([&] { check_path(model, Wanted::tuner); }, {"m.h5", "a model in HDF5", "--model"});
  expect_error<InputError>([&] { check_path(logits, Wanted::tuner); }, {"o.h5", "neither a checkpoint"});
  EXPECT_NO_THROW(check_path(checkpoint, Wanted::tuner));
  EXPECT_NO_THROW(check_path(model, Wanted::model));
}

TEST_F(PathKinds, WhatStandsInPlaceOfAFileIsNamedWhereverItIsRead) {
  expect_error<InputError>([&] { read_text_file(put("train.csv", kLfs)); }, {"train.csv", "Git LFS"});
  expect_error<InputError>([&] { parse_json_file(put("tokenizer.json", kLfs)); }, {"tokenizer.json", "Git LFS"});
  expect_error<InputError>([&] { Hdf5File(put("c.h5", kLfs)); }, {"c.h5", "Git LFS"});
  expect_error<InputError>([&] { parse_json_file(put("config.json", "<html>404</html>")); },
                           {"config.json", "web page"});
}

}  // namespace
}  // namespace cambium::testing
