// Results of cells: files that say what was written, damage that is seen, cells that one process at a time runs.
#include <gtest/gtest.h>

#include <cmath>

#include "core/files.h"
#include "experiments/lib/table/result.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

Cell example_cell() { return {"models/tiny", "lora", "e2e", 3, R"({"lr":0.001,"method":"lora"})"}; }

CellResult example_result() {
  CellResult r{.experiment = "an_experiment", .cell = example_cell()};
  r.cell.seed = ~uint64_t(0);
  r.scores = {{"bleu", 0.625}, {"nist", 7.5}};
  r.measurements = {{"train_seconds", 12.5}, {"trained_parameters", 460800}};
  r.notes = {{"machine", "one with 2 threads"}, {"command", "x run --preset 'a b'"}};
  r.series = {{"loss", {3.5, 2.25, 1.0}}};
  r.inputs = {"name : A ||", "name : B ||", "none"};
  r.outputs = {"A is a café.", "", "two\nlines"};
  r.references = {{"A is good.", "A, a café"}, {"B"}, {}};
  return r;
}

TEST(TableResult, ComesBackAsItWasSaved) {
  const TemporaryDirectory folder;
  const CellResult r = example_result();
  save_result(folder / "r.h5", r);
  const CellResult back = read_result(folder / "r.h5");
  EXPECT_EQ(back.experiment, r.experiment);
  EXPECT_EQ(back.cell.model, r.cell.model);
  EXPECT_EQ(back.cell.method, r.cell.method);
  EXPECT_EQ(back.cell.task, r.cell.task);
  EXPECT_EQ(back.cell.seed, r.cell.seed);
  EXPECT_EQ(back.cell.settings, r.cell.settings);
  EXPECT_EQ(back.scores, r.scores);
  EXPECT_EQ(back.measurements, r.measurements);
  EXPECT_EQ(back.notes, r.notes);
  EXPECT_EQ(back.series, r.series);
  EXPECT_EQ(back.inputs, r.inputs);
  EXPECT_EQ(back.outputs, r.outputs);
  EXPECT_EQ(back.references, r.references);
  EXPECT_EQ(back.score("bleu"), 0.625);
  EXPECT_TRUE(std::isnan(back.score("rouge")));
}

TEST(TableResult, BytesThatHdf5CannotHoldBecomeReplacementCharacters) {
  const TemporaryDirectory folder;
  CellResult r = example_result();
  r.outputs = {std::string("a\0b", 3), "\xff", "ok"};
  save_result(folder / "r.h5", r);
  EXPECT_EQ(read_result(folder / "r.h5").outputs, (std::vector<std::string>{"a\xEF\xBF\xBD"
                                                                            "b",
                                                                            "\xEF\xBF\xBD", "ok"}));
}

TEST(TableResult, ResultsWithoutTextsAndSeries) {
  const TemporaryDirectory folder;
  save_result(folder / "r.h5", {.experiment = "e", .cell = example_cell()});
  const CellResult back = read_result(folder / "r.h5");
  EXPECT_TRUE(back.inputs.empty() && back.series.empty() && back.scores.empty());
}

TEST(TableResult, DamagedFilesAreInputErrors) {
  const TemporaryDirectory folder(memory_folder());
  save_result(folder / "r.h5", example_result());
  const std::string good = read_text_file(folder / "r.h5");
  for (uint32_t seed = 0; seed < 200; ++seed) {
    const std::string bad = damaged(good, seed);
    if (bad == good) continue;
    put_file(folder / "bad.h5", bad);
    EXPECT_THROW(read_result(folder / "bad.h5"), Error) << "damage " << seed;
  }
}

TEST(ResultStore, FindsWhatItSavedAndSaysWhatIsDamaged) {
  const TemporaryDirectory folder;
  const ResultStore store(folder / "grid");
  CellResult r = example_result();
  EXPECT_EQ(store.find(r.cell).state, ResultStore::State::missing);
  store.save(r);
  ASSERT_EQ(store.find(r.cell).state, ResultStore::State::finished);
  EXPECT_EQ(store.find(r.cell).result.outputs, r.outputs);

  Cell other = r.cell;
  other.settings = R"({"lr":0.002,"method":"lora"})";
  EXPECT_NE(other.name(), r.cell.name());
  EXPECT_EQ(store.find(other).state, ResultStore::State::missing);
  put_file(store.path_of(other), read_text_file(store.path_of(r.cell)));  // a file renamed by hand
  const ResultStore::Found wrong = store.find(other);
  EXPECT_EQ(wrong.state, ResultStore::State::damaged);
  EXPECT_NE(wrong.damage.find("other settings"), wrong.damage.npos) << wrong.damage;

  const std::string bytes = read_text_file(store.path_of(r.cell));
  put_file(store.path_of(r.cell), bytes.substr(0, bytes.size() / 2));
  const ResultStore::Found cut = store.find(r.cell);
  EXPECT_EQ(cut.state, ResultStore::State::damaged);
  EXPECT_NE(cut.damage.find(store.path_of(r.cell)), cut.damage.npos) << cut.damage;
}

TEST(ResultStore, OneClaimsACell) {
  const TemporaryDirectory folder;
  const ResultStore store(folder.path());
  const Cell cell = example_cell();
  {
    const auto first = store.claim(cell);
    EXPECT_TRUE(first);
    EXPECT_FALSE(store.claim(cell));
    Cell other = cell;
    other.settings = "{}";
    EXPECT_TRUE(store.claim(other));
  }
  EXPECT_TRUE(store.claim(cell));
}

TEST(Cell, NamesSuitFiles) {
  Cell cell{"/a/b/../my model (v2).gguf/", "top_layers", "e2e", 12, "{}"};
  const std::string name = cell.name();
  EXPECT_EQ(name.substr(0, name.rfind('.')), "my-model--v2--gguf.e2e.top_layers.seed12");
  EXPECT_EQ(name.size() - name.rfind('.'), 9u);
  cell.model = std::string(300, 'x');
  EXPECT_LT(cell.name().size(), 150u);
  cell.model = "///";
  EXPECT_TRUE(cell.name().starts_with("-.e2e.")) << cell.name();
}

TEST(Cell, Selection) {
  using Numbers = std::vector<size_t>;
  EXPECT_EQ(selected_cells(3, {}, ""), (Numbers{0, 1, 2}));
  EXPECT_EQ(selected_cells(3, 2, ""), (Numbers{2}));
  EXPECT_EQ(selected_cells(5, {}, "1-3"), (Numbers{1, 2, 3}));
  EXPECT_EQ(selected_cells(5, {}, "4-4"), (Numbers{4}));
  const auto refuses = [](std::optional<int64_t> cell, const char* cells, const char* part) {
    expect_error<InputError>([&] { selected_cells(3, cell, cells); }, {part});
  };
  refuses(3, "", "cells 0 to 2");
  refuses(-1, "", "cells 0 to 2");
  refuses({}, "0-3", "cells 0 to 2");
  refuses({}, "2-1", "empty");
  refuses({}, "2", "range like 0-3");
  refuses({}, "-", "numbers from 0");
  refuses({}, "0-x", "numbers from 0");
  refuses({}, "0-99999999999999999999", "numbers from 0");
  refuses(1, "0-1", "exclude");
}

}  // namespace
}  // namespace cambium::testing
