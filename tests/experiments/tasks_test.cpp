// Tasks: official files in, texts and answers out; damaged ones are refused with their place.
#include "experiments/lib/tasks/task.h"

#include <algorithm>
#include <set>

#include "core/files.h"
#include "experiments/lib/table/smoke_model.h"
#include "experiments/lib/task_data.h"
#include "tests/support/files.h"
#include "tuning/options.h"

namespace cambium::testing {
namespace {

TEST(Sst2, ReadsGluesFiles) {
  const TemporaryDirectory folder;
  put_file(folder / "train.tsv", "sentence\tlabel\nhide new secretions from the parental units \t0\n");
  put_file(
      folder / "dev.tsv",
      "sentence\tlabel\nit 's a charming and often affecting journey . \t1\nunflinchingly bleak and desperate \t0\n");
  const auto task = make_task("sst2", folder.path());
  EXPECT_TRUE(task->is_classification());
  ASSERT_EQ(task->labelled(Split::train).size(), 1u);
  EXPECT_EQ(task->shown(task->labelled(Split::train)[0].row), "hide new secretions from the parental units");
  const auto dev = task->labelled(Split::dev);
  ASSERT_EQ(dev.size(), 2u);
  EXPECT_EQ(task->shown(dev[0].row), "it 's a charming and often affecting journey .");
  EXPECT_EQ(dev[0].label, 1);
  EXPECT_EQ(task->shown(dev[1].row), "unflinchingly bleak and desperate");
  EXPECT_EQ(dev[1].label, 0);
  EXPECT_EQ(task->examples(Split::dev)[1].target, " negative");
  EXPECT_EQ(task->items(Split::dev)[0].references, (std::vector<std::string>{"positive"}));
}

TEST(Sst2, RefusesDamagedFiles) {
  const TemporaryDirectory folder;
  const auto refused = [&](const char* contents, std::initializer_list<std::string_view> parts) {
    put_file(folder / "dev.tsv", contents);
    expect_error<InputError>([&] { make_task("sst2", folder.path())->labelled(Split::dev); }, parts);
  };
  refused("sentence\tlabel\ngood\t1\nbad\t2\n", {"dev.tsv:3", "label is \"2\"", "there are 0, 1"});
  refused("sentence\tlabel\n \t1\n", {"dev.tsv:2", "empty"});
  refused("text\tlabel\ngood\t1\n", {"sentence"});
  refused("sentence\tlabel\ngood\n", {"dev.tsv"});
  expect_error<InputError>([&] { make_task("sst2", folder.path())->labelled(Split::train); }, {"no train.tsv"});
  expect_error<InputError>([&] { make_task("sst2", folder / "absent"); }, {"absent", "SST-2"});
  expect_error<InputError>([] { make_task("sst2", ""); }, {"do not ship", "--data"});
}

// T5 knows "summarize: " from its pre-training, BART has no such words.
TEST(SciTldr, ModelsAreAskedInTheirOwnWords) {
  const auto task = make_task("scitldr", "");
  for (const auto& [family, words] : {std::pair{"t5", "summarize: "}, {"gpt2", "summarize: "}, {"bart", ""}}) {
    ModelConfig config;
    config.family = family;
    EXPECT_EQ(task->instruction(config), words);
  }
  Session t5 = open_smoke_session(kSmokeSeq2seq, {.device = "cpu", .dtype = "f32"});
  const TrainData data = train_data_of(t5, *task, {.limit = 1});
  EXPECT_TRUE(t5.tokenizer->decode(data.examples[0].ids, true).starts_with("summarize: "));
}

TEST(SciTldr, ShippedDataAreComplete) {
  const auto task = make_task("scitldr", "");
  EXPECT_FALSE(task->is_classification());
  EXPECT_EQ(task->examples(Split::train).size(), 1992u);
  EXPECT_EQ(task->items(Split::dev).size(), 619u);
  const auto test = task->items(Split::test);
  ASSERT_EQ(test.size(), 618u);
  EXPECT_EQ(test[0].references.size(), 2u);
  EXPECT_TRUE(test[0].references[0].starts_with("FearNet is a memory efficient"));
}

TEST(Samsum, ReadsBothFormsOfItsFiles) {
  const TemporaryDirectory folder;
  put_file(folder / "train.json", R"([{"id": "1", "dialogue": "A: Hi\r\nB: Hello", "summary": "They meet."}])");
  put_file(folder / "validation.jsonl", "{\"context\": \"A: Bye\\nB:  Bye\", \"response\": \"They part. \"}\n\n");
  const auto task = make_task("samsum", folder.path());
  EXPECT_EQ(task->examples(Split::train)[0].input, "A: Hi B: Hello");
  const auto dev = task->items(Split::dev);
  ASSERT_EQ(dev.size(), 1u);
  EXPECT_EQ(dev[0].input, "A: Bye B: Bye");
  EXPECT_EQ(dev[0].references, (std::vector<std::string>{"They part."}));
  expect_error<InputError>([&] { task->items(Split::test); }, {"no test.jsonl"});
  put_file(folder / "test.jsonl", "{\"context\": \"A\", \"response\": \"B\"}\n{\"context\": \"A\"}\n");
  expect_error<InputError>([&] { task->items(Split::test); }, {"test.jsonl:2", "summary"});
  put_file(folder / "test.jsonl", "{\"context\": \"A\", \"response\": {}}\n");
  expect_error<InputError>([&] { task->items(Split::test); }, {"test.jsonl", "response"});
  put_file(folder / "test.jsonl", "{\"context\": \"A\n");
  expect_error<InputError>([&] { task->items(Split::test); }, {"test.jsonl", "U+000A"});
  // A byte order mark and empty lines before a list are no part of it.
  const std::string list = R"([{"dialogue": "A", "summary": "B"}, {"dialogue": "C", "summary": "D"}])";
  for (const std::string& bytes : {list, "\xef\xbb\xbf" + list, "\r\n \n" + list}) {
    put_file(folder / "train.json", bytes);
    EXPECT_EQ(task->examples(Split::train).size(), 2u);
  }
  put_file(folder / "train.json", "\xef\xbb\xbf{\"dialogue\": \"A\", \"summary\": \"B\"}\r\n");
  EXPECT_EQ(task->examples(Split::train).size(), 1u);
  put_file(folder / "train.json", R"([{"dialogue": "A", "summary": "B"}, {"dialogue": "C"}])");
  expect_error<InputError>([&] { task->examples(Split::train); }, {"train.json, entry 2", "summary"});
  expect_error<InputError>([] { make_task("samsum", ""); }, {"do not ship", "--data"});
  expect_error<InputError>([&] { make_task("samsum", folder / "train.json"); }, {"the directory of the files"});
}

TEST(Xsum, ReadsItsFiles) {
  const TemporaryDirectory folder;
  put_file(folder / "test.jsonl", "{\"document\": \"First.\\nSecond.\", \"summary\": \"Both.\", \"id\": \"1\"}\n");
  const auto items = make_task("xsum", folder.path())->items(Split::test);
  ASSERT_EQ(items.size(), 1u);
  EXPECT_EQ(items[0].input, "First. Second.");
  EXPECT_EQ(items[0].references, (std::vector<std::string>{"Both."}));
  expect_error<InputError>([] { make_task("xsum", ""); }, {"xsum", "do not ship", "--data"});
}

TEST(Synthetic, TextsTellTheirClass) {
  const auto task = make_task("synthetic", "");
  ASSERT_TRUE(task->is_classification());
  const auto train = task->labelled(Split::train), dev = task->labelled(Split::dev);
  ASSERT_EQ(train.size(), 512u);
  ASSERT_EQ(dev.size(), 64u);
  // A word of one class never stands in a text of the other.
  std::set<std::string> words[2];
  for (const LabelledRow& t : train)
    for (const std::string& word : split(t.row.joined("text"), ' ')) words[t.label].insert(word);
  int telling = 0;
  for (const LabelledRow& t : dev) {
    const auto list = split(t.row.joined("text"), ' ');
    telling +=
        std::any_of(list.begin(), list.end(), [&](const std::string& w) { return !words[1 - t.label].count(w); });
  }
  EXPECT_EQ(telling, 64);
  expect_error<InputError>([] { make_task("synthetic", "data"); }, {"synthetic", "data"});
}

TEST(Tasks, AreKnownByName) {
  for (const std::string name : {"e2e", "scitldr"}) EXPECT_EQ(make_task(name, "")->name(), name);
  for (const std::string& name : task_names()) EXPECT_FALSE(built_in_record(name).about.empty()) << name;
  expect_error<InputError>([] { make_task("sst", ""); }, {"--task sst", "sst2"});
}

}  // namespace
}  // namespace cambium::testing
