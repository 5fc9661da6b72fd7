// Every built-in task on ten examples of ours in its official layout: what models read and should answer is what
// tools/golden/tasks.py computes after the published code.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "experiments/lib/tasks/task.h"
#include "tests/support/golden.h"

namespace cambium::testing {
namespace {

using nlohmann::json;

std::string with_mask(const Template& t, const DataRow& row) {
  std::string all;
  for (const Template::Piece& piece : t.pieces(row)) all += piece.mask ? "{mask}" : piece.text;
  return all;
}

json texts_of(const std::vector<Template>& templates, const DataRow& row) {
  json all = json::array();
  for (const Template& t : templates) all.push_back(with_mask(t, row));
  return all;
}

Split split_of(const std::string& folder) {
  return file_exists(folder + "/split.train")  ? Split::train
         : file_exists(folder + "/split.test") ? Split::test
                                               : Split::dev;
}

TEST(TaskGoldens, ClassesReadAsPublished) {
  size_t compared = 0;
  for (const std::string& name : list_directory(golden_path("tasks"))) {
    const std::string folder = golden_path("tasks/" + name);
    const auto task = make_task(name, folder);
    if (!task->is_classification() && !task->is_number()) continue;
    const json expected = parse_json_file(folder + "/expected.json");
    const Split split = split_of(folder);
    const auto rows = task->labelled(split);
    const auto written = task->record().decoder ? task->examples(split) : std::vector<TextPair>();
    ASSERT_EQ(rows.size(), expected.size()) << name;
    for (size_t i = 0; i < rows.size(); ++i) {
      const json& e = expected[i];
      const std::string where = name + ", example " + std::to_string(i + 1);
      const DataRow& row = rows[i].row;
      EXPECT_EQ(texts_of(task->record().encoder, row), e.value("encoder", json::array())) << where;
      EXPECT_EQ(texts_of(task->record().cloze, row), e.value("cloze", json::array())) << where;
      if (written.empty()) continue;
      EXPECT_EQ(json(written[i].input), e.at("decoder")) << where;
      EXPECT_EQ(json(written[i].target), " " + e.at("answer").get<std::string>()) << where;
      const Template& other = task->text_of(TextForm::seq2seq);
      EXPECT_EQ(json(other.fill(row)), e.contains("seq2seq") ? e["seq2seq"] : e["decoder"]) << where;
      ++compared;
    }
  }
  EXPECT_GE(compared, 100u);
}

TEST(TaskGoldens, TextsReadAsPublished) {
  for (const std::string& name : list_directory(golden_path("tasks"))) {
    const std::string folder = golden_path("tasks/" + name);
    const auto task = make_task(name, folder);
    if (task->is_classification() || task->is_number()) continue;
    const json expected = parse_json_file(folder + "/expected.json");
    const auto items = task->items(split_of(folder));
    ASSERT_EQ(items.size(), expected.size()) << name;
    json targets = json::array(), wanted = json::array();
    for (const TextPair& pair : task->examples(split_of(folder))) targets.push_back({pair.input, pair.target});
    for (size_t i = 0; i < items.size(); ++i) {
      EXPECT_EQ(json(items[i].input), expected[i].at("decoder")) << name << ", example " << i + 1;
      EXPECT_EQ(json(items[i].references), expected[i].at("references")) << name << ", example " << i + 1;
      for (const json& target : expected[i].at("targets"))
        wanted.push_back({expected[i]["decoder"], " " + target.get<std::string>()});
    }
    EXPECT_EQ(targets, wanted) << name;
  }
}

// Whoever adds a task adds its ten examples; three need no files or have the whole data set shipped and tested.
TEST(TaskGoldens, NoTaskIsLeftOut) {
  const std::vector<std::string> made = list_directory(golden_path("tasks"));
  for (const std::string& name : task_names())
    if (!name.starts_with("synthetic") && name != "e2e" && name != "scitldr" && name != "samsum" && name != "xsum")
      EXPECT_TRUE(std::binary_search(made.begin(), made.end(), name)) << name;
}

}  // namespace
}  // namespace cambium::testing
