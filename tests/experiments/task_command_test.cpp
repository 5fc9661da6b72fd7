// --task in `cambium train` and `evaluate`: a user's own record, as docs/tasks.md shows it, and the built-in ones.
#include "core/lines.h"
#include "tests/support/command.h"

namespace cambium::testing {
namespace {

class TaskCommand : public Command {
 protected:
  // The block of the page behind a line with `before`.
  static std::string block(const std::string& before, const std::string& language) {
    const std::string page = read_text_file(source_path("docs/tasks.md"));
    const size_t begin = page.find("```" + language + "\n", page.find(before)), end = page.find("```\n", begin + 3);
    EXPECT_NE(end, page.npos) << before;
    return page.substr(begin + language.size() + 4, end - begin - language.size() - 4);
  }
  void SetUp() override {
    for (const char* name : {"config.json", "model.safetensors"})
      std::filesystem::copy(bert + "/" + name, folder / ("model/" + std::string(name)));
    std::string words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (const char* word : {"invoice", "i", "paid", "twice", "login", "it", "says", "my", "password", "is", "wrong",
                             "about", "money", "help", ",", ".", ":", "please", "check"})
      words += std::string(word) + "\n";
    put("model/vocab.txt", words);
  }

 private:
  const bool made_ = std::filesystem::create_directory(folder / "model");
};

TEST_F(TaskCommand, TheExampleOfTheDocsRuns) {
  std::filesystem::create_directory(folder / "mail");
  put("mail/mail.json", block("`mail.json`", "json"));
  const std::string rows = block("beside it", "csv");
  put("mail/train.csv", rows), put("mail/dev.csv", rows);
  const std::string task = folder / "mail/mail.json";
  good({"train", "--model", folder / "model", "--tuner", "lora", "--task", task, "--steps", "2", "--output",
        folder / "run", "--quiet"});
  const auto scores = json_of(good({"evaluate", "--model", folder / "model", "--tuner", folder / "run/tuner.h5",
                                    "--task", task, "--split", "dev", "--output", folder / "dev", "--json"}));
  for (const char* name : {"accuracy", "f1", "f1_macro"}) EXPECT_TRUE(scores.contains(name)) << scores.dump();
  EXPECT_EQ(scores.at("inputs"), 2);
  EXPECT_EQ(lines_of(read_text_file(folder / "dev/references.txt")).front(), "billing");
  good({"evaluate", "--model", folder / "model", "--task", task, "--split", "dev", "--decision", "words", "--output",
        folder / "words", "--quiet"});
  bad({"evaluate", "--model", folder / "model", "--task", task, "--output", folder / "none"},
      {"mail has no test split", "--split dev"});
}

TEST_F(TaskCommand, BuiltInTasksTakeTheirOfficialFiles) {
  const std::string data = golden_path("tasks/mrpc");
  std::filesystem::create_directory(folder / "mrpc");
  for (const char* name : {"train.tsv", "dev.tsv"}) put(std::string("mrpc/") + name, read_text_file(data + "/dev.tsv"));
  good({"train", "--model", folder / "model", "--tuner", "lora", "--task", "mrpc", "--data", folder / "mrpc", "--steps",
        "2", "--output", folder / "run", "--quiet"});
  const auto scores =
      json_of(good({"evaluate", "--model", folder / "model", "--tuner", folder / "run/tuner.h5", "--task", "mrpc",
                    "--data", folder / "mrpc", "--split", "dev", "--output", folder / "dev", "--json"}));
  EXPECT_TRUE(scores.contains("accuracy") && scores.contains("f1")) << scores.dump();
  bad({"train", "--model", folder / "model", "--tuner", "lora", "--task", "mrpc", "--data", folder.path(), "--output",
       folder / "none"},
      {"no train.tsv or msr_paraphrase_train.txt", "gluebenchmark.com"});
  bad({"train", "--model", folder / "model", "--tuner", "lora", "--task", "mrpc", "--output", folder / "none"},
      {"mrpc", "do not ship", "--data", "gluebenchmark.com"});
}

TEST_F(TaskCommand, RecordsThatCannotBeUsedAreNamed) {
  const auto refuses = [&](const std::string& bytes, std::initializer_list<std::string_view> parts) {
    put("bad.json", bytes);
    bad({"train", "--model", folder / "model", "--tuner", "lora", "--task", folder / "bad.json", "--output",
         folder / "none"},
        parts);
  };
  refuses("", {"bad.json"});
  refuses("{\"name\": \"x\"", {"bad.json"});
  refuses("{\"name\": \"x\", \"file\": 1}", {"bad.json", "\"file\" is no key"});
  std::string outside = block("`mail.json`", "json");
  outside.replace(outside.find("train.csv"), 9, "../../etc");
  refuses(outside, {"bad.json", "../../etc", "leaves"});
  refuses(block("`mail.json`", "json"), {"no train.csv", "mail"});
  bad({"train", "--model", folder / "model", "--tuner", "lora", "--task", folder / "absent.json", "--output",
       folder / "none"},
      {"absent.json"});
  bad({"train", "--model", folder / "model", "--tuner", "lora", "--task", "mrcp", "--output", folder / "none"},
      {"--task mrcp", "mrpc"});
}

TEST_F(TaskCommand, ListsWhatThereIs) {
  for (const char* command : {"train", "evaluate"}) {
    const std::string out = good({command, "--list-tasks"}).out;
    for (const char* part : {"mrpc ", "whether two sentences say the same (accuracy, f1)", "e2e ", "its data ship"})
      EXPECT_NE(out.find(part), out.npos) << out;
  }
}

}  // namespace
}  // namespace cambium::testing
