// The files of `cambium score`: references in three forms, outputs, and what is wrong with them.
#include <gtest/gtest.h>

#include "core/files.h"
#include "experiments/lib/metrics/metric.h"
#include "tests/support/files.h"

namespace cambium::metrics {
namespace {

using testing::expect_error;
using testing::put_file;

class MetricFiles : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& contents) {
    put_file(directory_ / name, contents);
    return directory_ / name;
  }
  TemporaryDirectory directory_;
};

TEST_F(MetricFiles, CsvIsGroupedByFirstOccurrence) {
  const std::string path = file("refs.csv", "mr,ref\r\nb,\"one, \"\"1\"\"\"\r\na,two\r\nb,three\r\n");
  EXPECT_EQ(read_references("e2e", path, 2), (References{{"one, \"1\"", "three"}, {"two"}}));
  const std::string nameless = file("refs", "\xef\xbb\xbfmr,ref\nx,y\n");
  EXPECT_EQ(read_references("bleu", nameless, 1), (References{{"y"}}));
  expect_error<InputError>([&] { read_references("e2e", file("bad.csv", "mr,text\na,b\n"), 1); }, {"bad.csv", "ref"});
}

TEST_F(MetricFiles, EmptyLinesSeparateGroups) {
  EXPECT_EQ(read_references("e2e", file("a", "x\ny\n\n\nz\n\n"), 2), (References{{"x", "y"}, {"z"}}));
  EXPECT_EQ(read_references("e2e", file("b", "x\r\ny\r\n"), 2), (References{{"x"}, {"y"}}));
  EXPECT_EQ(read_references("e2e", file("c", "x\ny\n\n"), 1), (References{{"x", "y"}}));
  expect_error<InputError>([&] { read_references("e2e", file("d", "\n\n"), 1); }, {"no references"});
}

TEST_F(MetricFiles, SquadAnswersComeFromJson) {
  const std::string path = file("s.json", R"({"data":[{"paragraphs":[{"context":"c","qas":[
      {"id":"1","answers":[{"text":"a","answer_start":0},{"text":"b"}]},{"id":"2","answers":[]}]}]}]})");
  EXPECT_EQ(read_references("squad", path, 2), (References{{"a", "b"}, {}}));
  for (const char* bad : {"{}", "[]", R"({"data":[{}]})",
                          R"({"data":[{"paragraphs":[{"qas":[{"answers":[{"text":1}]}]}]}]})", "{\"data\":", "\xff"})
    expect_error<InputError>([&] { read_references("squad", file("bad.json", bad), 1); }, {"bad.json"});
}

TEST_F(MetricFiles, OutputsAreLines) {
  EXPECT_EQ(read_outputs(file("o", "a\n\nb\r\n")), (Outputs{"a", "", "b"}));
  EXPECT_EQ(read_outputs(file("p",
                              "\xef\xbb\xbf"
                              "a")),
            (Outputs{"a"}));
  EXPECT_TRUE(read_outputs(file("q", "")).empty());
  expect_error<InputError>([&] { read_outputs(directory_ / "none"); }, {"none"});
}

TEST_F(MetricFiles, CountsMustAgree) {
  for (const std::string& name : metric_names()) {
    expect_error<InputError>([&] { score(name, {{"a"}, {"b"}}, {"a"}); }, {name, "2 groups", "1 outputs"});
    expect_error<InputError>([&] { score(name, {}, {}); }, {"no outputs"});
    if (name != "squad") expect_error<InputError>([&] { score(name, {{"a"}, {}}, {"a", "b"}); }, {"group 2"});
  }
  expect_error<InputError>([] { score("blue", {{"a"}}, {"a"}); }, {"blue", "bleu", "squad"});
}

TEST_F(MetricFiles, DamagedFilesNeverCrash) {
  const std::string csv = "mr,ref\n\"a\",\"b \xc3\xa9\"\nc,d\n",
                    json = R"({"data":[{"paragraphs":[{"qas":[{"answers":[{"text":"a"}]}]}]}]})";
  int read = 0;
  for (uint32_t seed = 0; seed < 300; ++seed)
    for (const auto& [metric, bytes] : {std::pair("e2e", csv), std::pair("squad", json)}) try {
        const std::string path = file("x.csv", testing::damaged(bytes, seed));
        const Outputs outputs(2, "b");
        read += !metric_table("chrf", read_references(metric, path, 2), outputs).values.empty();
      } catch (const InputError&) {
      }
  EXPECT_GT(read, 0);
}

}  // namespace
}  // namespace cambium::metrics
