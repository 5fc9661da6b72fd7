// Records of tasks: what a user's JSON may say, what is refused and how, and the formats of files.
#include <gtest/gtest.h>

#include "core/files.h"
#include "experiments/lib/table/smoke_model.h"
#include "experiments/lib/task_data.h"
#include "tests/experiments/task_of.h"
#include "tests/support/tuning.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

json plain_record() {
  return json::parse(R"({"name": "mine", "format": "csv", "columns": {"text": "text", "label": "label"},
      "files": {"train": "train.csv", "dev": ["a.csv", "dev.csv"]},
      "input": {"encoder": "{text}", "decoder": "text: {text}"},
      "labels": [{"name": "no"}, {"value": ["yes", "y"], "name": "yes"}], "metrics": ["accuracy", "f1"]})");
}

void refused(const std::function<void(json&)>& change, std::initializer_list<std::string_view> parts) {
  json j = plain_record();
  change(j);
  expect_error<InputError>([&] { read_record(j, "mine.json"); }, parts);
}

TEST(TaskRecord, RefusesWhatItDoesNotKnow) {
  read_record(plain_record(), "mine.json");
  refused([](json& j) { j["metric"] = "f1"; }, {"mine.json", "\"metric\" is no key", "metrics"});
  refused([](json& j) { j["input"]["encodr"] = "{text}"; }, {"encodr"});
  refused([](json& j) { j["labels"][0]["wrod"] = "x"; }, {"wrod", "word"});
  refused([](json& j) { j["name"] = "My task"; }, {"My task", "small letters"});
  refused([](json& j) { j.erase("name"); }, {"name"});
  refused([](json& j) { j["metrics"] = "bleurt"; }, {"bleurt", "accuracy"});
  refused([](json& j) { j["metrics"] = json::array(); }, {"metrics"});
  refused([](json& j) { j["format"] = "xlsx"; }, {"xlsx", "jsonl"});
  refused([](json& j) { j["files"]["validation"] = "x"; }, {"validation", "dev"});
  refused([](json& j) { j["files"] = json::object(); }, {"files"});
  refused([](json& j) { j["prepare"] = "magic"; }, {"magic", "triples"});
  refused([](json& j) { j["labels"] = json::array({j["labels"][0]}); }, {"labels"});
  refused([](json& j) { j["labels"][1]["name"] = "no"; }, {"two labels", "no"});
  refused([](json& j) { j["labels"][1]["value"] = "no"; }, {"two labels", "no"});
  refused([](json& j) { j["target"] = "{text}"; }, {"one of"});
  refused([](json& j) { j["max_new_tokens"] = -1; }, {"max_new_tokens"});
  expect_error<InputError>([] { read_record(json::array(), "mine.json"); }, {"mine.json", "object"});
}

TEST(TaskRecord, RefusesTemplatesThatCannotBeFilled) {
  refused([](json& j) { j["input"]["decoder"] = "{words}"; }, {"\"words\"", "no column"});
  refused([](json& j) { j["input"]["decoder"] = "{text"; }, {"{ without a }"});
  refused([](json& j) { j["input"]["decoder"] = "text}"; }, {"} without a {"});
  refused([](json& j) { j["input"]["decoder"] = "{text|upper}"; }, {"upper", "first_lower"});
  refused([](json& j) { j["input"]["decoder"] = "{text} {mask}"; }, {"{mask}", "cloze"});
  refused([](json& j) { j["input"]["cloze"] = "{text} {mask}"; }, {"word"});
  refused([](json& j) { j["input"]["encoder"] = json::array({"{text}", "{text}", "{text}"}); }, {"3 texts"});
  refused([](json& j) { j["columns"]["te|xt"] = "text"; }, {"te|xt"});
  const DataRow row{{{"a", {"One ", "two."}}}, "here"};
  EXPECT_EQ(Template("{{{a|trim}}} {a|no_final_punctuation|lower}").fill(row), "{One two.} one two");
}

TEST(TaskRecord, RefusesPathsOutside) {
  for (const char* path : {"/etc/passwd", "../train.csv", "a/../../b.csv", ""})
    refused([&](json& j) { j["files"]["train"] = path; }, {"path"});
  refused([](json& j) { j["files"]["train"] = json{{"path", {{"text", "../a"}}}, {"format", "lines"}}; }, {"../a"});
}

TEST(TaskRecord, DamagedFilesAreNamed) {
  const TemporaryDirectory folder;
  const auto refuses = [&](const char* bytes, std::initializer_list<std::string_view> parts) {
    put_file(folder / "dev.csv", bytes);
    const Task task = task_of(plain_record().dump(), folder.path());
    expect_error<InputError>([&] { task.labelled(Split::dev); }, parts);
  };
  refuses("text,label\n", {"dev.csv", "no rows"});
  refuses("words,label\na,no\n", {"dev.csv", "\"text\"", "words, label"});
  refuses("text,label\na,maybe\n", {"dev.csv:2", "maybe", "no, y, yes"});
  refuses("text,label\n ,no\n", {"dev.csv:2", "empty"});
  refuses("text,label\na\n", {"dev.csv:2", "1 fields"});
  const Task task = task_of(plain_record().dump(), folder.path());
  expect_error<InputError>([&] { task.labelled(Split::test); }, {"mine", "no test split", "train and dev"});
  expect_error<InputError>([&] { task.labelled(Split::train); },
                           {folder.path(), "no train.csv", "train split of mine"});
  put_file(folder / "dev.csv", "text,label\na,y\nb,no\n");
  EXPECT_EQ(task.labelled(Split::dev)[0].label, 1);
}

Task with_files(const std::string& form, const std::string& folder) {
  json j = plain_record();
  j.erase("format"), j.erase("columns"), j.erase("files");
  j.update(json::parse(form));
  return task_of(j.dump(), folder);
}

std::vector<std::string> read(const Task& task, Split split = Split::dev) {
  std::vector<std::string> all;
  for (const LabelledRow& r : task.labelled(split)) all.push_back(std::to_string(r.label) + " " + r.row.joined("text"));
  return all;
}

TEST(TaskFiles, LinesClassesAndLabels) {
  using Strings = std::vector<std::string>;
  const TemporaryDirectory folder;
  put_file(folder / "texts", "one\ntwo\n"), put_file(folder / "labels", "yes\nno\n");
  const Task lines = with_files(
      R"({"format": "lines", "files": {"dev": {"path": {"text": "texts", "label": "labels"}}}})", folder.path());
  EXPECT_EQ(read(lines), (Strings{"1 one", "0 two"}));
  put_file(folder / "labels", "yes\n");
  expect_error<InputError>([&] { read(lines); }, {"labels has 1 lines", "texts has 2"});

  put_file(folder / "both", "yes one two\n\nno three\n");
  EXPECT_EQ(read(with_files(R"({"format": "labelled_lines", "files": {"dev": "both"}})", folder.path())),
            (Strings{"1 one two", "0 three"}));

  put_file(folder / "bad", "b1\nb2\nb3\n"), put_file(folder / "good", "g1 caf\xe9\ng2\n");
  const std::string classes = R"({"format": "class_files", "encoding": "latin1", "files": {
      "train": {"path": {"no": "bad", "yes": "good"}, "share": {"of": 2, "rows": [0]}},
      "dev": {"path": {"no": "bad", "yes": "good"}, "share": {"of": 2, "rows": [1]}}}})";
  EXPECT_EQ(read(with_files(classes, folder.path()), Split::train), (Strings{"0 b1", "0 b3", "1 g1 caf\u00e9"}));
  EXPECT_EQ(read(with_files(classes, folder.path())), (Strings{"0 b2", "1 g2"}));

  put_file(folder / "aspects", "the $T$ is good\nfood\n1\n");
  json j = plain_record();
  j["files"] = {{"dev", "aspects"}}, j["format"] = "aspects", j["prepare"] = "aspect", j.erase("columns");
  j["labels"] = json::parse(R"([{"name": "0"}, {"name": "1"}])");
  const auto rows = task_of(j.dump(), folder.path()).labelled(Split::dev);
  EXPECT_EQ(rows[0].row.joined("sentence"), "the food is good");
  EXPECT_EQ(rows[0].row.joined("aspect"), "food");
}

TEST(TaskFiles, NestedJsonIsOpened) {
  const TemporaryDirectory folder;
  put_file(folder / "dev.jsonl", R"({"header": {"dataset": "x"}}
{"p": {"text": "T", "qs": [{"q": "Q1", "as": [{"t": "A", "l": 1}, {"t": "B", "l": 0}]}, {"q": "Q2", "as": [{"t": "C", "l": true}]}]}, "all": ["x", "y"]}
)");
  json j = plain_record();
  j["format"] = "jsonl", j["files"] = {{"dev", "dev.jsonl"}}, j["each"] = {"p.qs", "p.qs.as"};
  j["columns"] = {{"text", "p.text"},     {"question", "p.qs.q"}, {"answer", "p.qs.as.t"},
                  {"label", "p.qs.as.l"}, {"all", "all"},         {"first", {{"first", "all"}}}};
  j["input"] = {{"decoder", "{question} {answer} {text} {all} {first}"}};
  j["labels"] = json::parse(R"([{"value": "0", "name": "no"}, {"value": ["1", "true"], "name": "yes"}])");
  const auto pairs = task_of(j.dump(), folder.path()).examples(Split::dev);
  ASSERT_EQ(pairs.size(), 3u);
  EXPECT_EQ(pairs[1].input, "Q1 B T x y x");
  EXPECT_EQ(pairs[1].target, " no");
  EXPECT_EQ(pairs[2].input, "Q2 C T x y x");
  EXPECT_EQ(pairs[2].target, " yes");
  j["columns"]["answer"] = "p.qs.as.text";
  expect_error<InputError>([&] { task_of(j.dump(), folder.path()).examples(Split::dev); },
                           {"dev.jsonl:2", "p.qs.as.text", "missing"});
  j["each"] = {"p.questions"};
  expect_error<InputError>([&] { task_of(j.dump(), folder.path()).examples(Split::dev); }, {"p.questions"});
}

// A number is told by a head of one output; the loss falls, and what comes out is scored by both correlations.
TEST(Numbers, AreLearnedByAnEncodersHead) {
  const std::string folder = golden_path("tasks/stsb");
  const TemporaryDirectory copy;
  put_file(copy / "train.tsv", read_text_file(folder + "/dev.tsv")),
      put_file(copy / "dev.tsv", read_text_file(folder + "/dev.tsv"));
  const auto task = make_task("stsb", copy.path());
  Session s = open_smoke_session(kSmokeEncoder, {.device = "cpu", .dtype = "f32", .quiet = true});
  TrainData data = train_data_of(s, *task, {});
  EXPECT_EQ(data.examples[4].labels, std::vector<int32_t>{1111});
  EXPECT_EQ(data.objective->description(), "regression head");
  const auto tuner = make_tuner("lora", {}, s.context(0));
  TrainedSet trained(*s.model, *tuner, {}, *data.objective);
  Trainer trainer(*s.model, *tuner, trained, std::move(data), {.lr = 0.01, .batch_size = 5, .epochs = 30});
  Record record;
  EXPECT_EQ(trainer.run(record), TrainEnd::finished);
  EXPECT_LT(record.losses().back(), 0.5 * record.losses().front());
  const EvaluationResult e = evaluate_task(s, *tuner, *task, Decision::automatic, Split::dev, 0, {});
  EXPECT_EQ(e.outputs.size(), 10u);
  EXPECT_GT(e.score("pearson"), -1.0);
  EXPECT_LE(e.score("spearman"), 1.0);
}

TEST(Numbers, AreWrittenByOtherModels) {
  const auto task = make_task("stsb", golden_path("tasks/stsb"));
  Session s = open_smoke_session(kSmokeDecoder, {.device = "cpu", .dtype = "f32", .quiet = true});
  Hooks none;
  const EvaluationResult e = evaluate_task(s, none, *task, Decision::automatic, Split::dev, 3, {.max_new_tokens = 3});
  EXPECT_EQ(e.references[2], std::vector<std::string>{"3.75"});
  EXPECT_EQ(e.scores.size(), 2u);
}

}  // namespace
}  // namespace cambium::testing
