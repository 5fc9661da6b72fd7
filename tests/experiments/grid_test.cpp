// Grids: which cells their axes make, in which order, and what stands for several.
#include "experiments/lib/table/grid.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tuning/methods.h"

namespace cambium::testing {
namespace {

const std::vector<Row> kRows = {{.name = "zero-shot"},
                                {.name = "lora", .tuner = "lora", .options = {{"rank", "4"}}, .lr = 0.5},
                                {.name = "full", .tuner = "full"}};

Grid grid_of(std::vector<Axis> axes) {
  return {{.model = "m", .task = "t", .dtype = "f32", .device = "cpu"}, std::move(axes)};
}

TEST(Grid, IsTheProductOfItsAxesTheLastOneFastest) {
  const std::vector<GridCell> cells = cells_of(grid_of({task_axis({"t", "u"}), method_axis(kRows), seed_axis(2, 7)}));
  ASSERT_EQ(cells.size(), 12u);
  EXPECT_EQ(said(cells[0].at), "zero-shot, m, seed 7, t");
  EXPECT_EQ(cells[1].spec.seed, 8u);
  EXPECT_EQ(cells[2].spec.method, "lora");
  EXPECT_EQ(cells[2].spec.options.at("rank"), "4");
  EXPECT_EQ(cells[2].spec.train.lr, 0.5);
  EXPECT_EQ(cells[6].spec.task, "u");
  EXPECT_EQ(cells[6].at.at("task"), "u");
  EXPECT_EQ(cells[2].cell.place, "");
}

TEST(Grid, RowsThatAnAxisDoesNotChangeAreOneCell) {
  const std::vector<GridCell> cells =
      cells_of(grid_of({method_axis(kRows), rate_axis({1, 3}), examples_axis({10, 20})}));
  // The untrained row once; the others for each rate and number of examples.
  ASSERT_EQ(cells.size(), 1u + 2 * 2 * 2);
  EXPECT_EQ(cells[0].cell.place, "examples 10, rate x1");
  EXPECT_EQ(cells[1].spec.train.lr, 0.5);
  EXPECT_EQ(cells[3].spec.train.lr, 1.5) << "times the row's own";
  EXPECT_EQ(cells[5].spec.train.lr, default_learning_rate("full")) << "or the tuner's";
}

TEST(Grid, AnOptionChangesRowsThatHaveATuner) {
  const std::vector<GridCell> cells =
      cells_of(grid_of({method_axis({kRows[0], kRows[1]}), option_axis("rank", {"1", "2"})}));
  ASSERT_EQ(cells.size(), 3u);
  EXPECT_EQ(cells[2].spec.options.at("rank"), "2");
  EXPECT_EQ(cells[2].cell.place, "rank 2");
}

// Each start once, in front of those that need it, also where it has a start of its own.
TEST(Grid, StartsComeFirst) {
  Axis source{.name = "source"};
  for (const std::string task : {"u", "t"})
    source.values.push_back({task, [task](CellSpec& s) {
                               CellSpec trained = s;
                               trained.task = task;
                               s.start = std::make_shared<CellSpec>(trained);
                               s.tuner = "";
                             }});
  const std::vector<GridCell> cells =
      cells_of(grid_of({method_axis({kRows[1]}), task_axis({"t", "u"}), seed_axis(1, 3), source}));
  // t: lora on u, the answer with it, lora on t, the answer with it; u: two answers.
  ASSERT_EQ(cells.size(), 6u);
  std::vector<std::string> what;
  for (const GridCell& c : cells)
    what.push_back(c.spec.task + (c.spec.start ? " by " + c.spec.start->task : "") + (c.shown ? "" : " hidden"));
  EXPECT_EQ(what, (std::vector<std::string>{"u hidden", "t by u", "t hidden", "t by t", "u by u", "u by t"}));
  EXPECT_EQ(cells[0].spec.seed, 3u);
  for (size_t i = 0; i < cells.size(); ++i)
    if (cells[i].spec.start) {
      const std::string start = cell_of(*cells[i].spec.start).name();
      EXPECT_TRUE(std::any_of(cells.begin(), cells.begin() + int64_t(i),
                              [&](const GridCell& c) { return c.cell.name() == start; }));
    }
}

// A start that the grid shows too is one cell.
TEST(Grid, AStartMayStandInTheGrid) {
  Axis use{.name = "use"};
  use.values.push_back({"again", [](CellSpec& s) { s.start = std::make_shared<CellSpec>(s); }});
  use.values.push_back({"new", [](CellSpec&) {}});
  const std::vector<GridCell> cells = cells_of(grid_of({method_axis({kRows[1]}), use}));
  ASSERT_EQ(cells.size(), 2u);
  EXPECT_EQ(cells[0].cell.place, "use new");
  EXPECT_TRUE(cells[0].shown);
  EXPECT_TRUE(cells[1].spec.start);
}

TEST(Grid, TheBestOnDevStandsForARow) {
  Grid grid = grid_of({method_axis({kRows[0], kRows[1]}), rate_axis({1, 3, 10}), seed_axis(2)});
  const std::vector<GridCell> cells = cells_of(grid);
  ASSERT_EQ(cells.size(), 2u + 3 * 2);
  std::vector<CellResult> results(cells.size());
  // On dev, x3 is best in the mean, x10 in one seed; on the answered split x1 is.
  const double dev[] = {0, 0, 0.5, 0.5, 0.7, 0.8, 0.9, 0.1}, test[] = {0.1, 0.2, 0.9, 0.9, 0.6, 0.7, 0.1, 0.1};
  std::vector<const CellResult*> there;
  for (size_t i = 0; i < cells.size(); ++i) {
    results[i].scores = {{"dev_f1", dev[i]}, {"f1", test[i]}};
    if (i < 2) results[i].scores.erase("dev_f1");
    there.push_back(&results[i]);
  }
  std::vector<Group> groups = groups_of(grid, cells, there, "f1", false);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].seeds.size(), 2u);
  EXPECT_EQ(groups[0].chosen, "");
  EXPECT_EQ(groups[1].chosen, "rate x3");
  EXPECT_EQ(groups[1].values("f1"), (std::vector<double>{0.6, 0.7}));
  EXPECT_FALSE(groups[1].at.count("rate"));
  // Where less is better.
  groups = groups_of(grid, cells, there, "f1", true);
  EXPECT_EQ(groups[1].chosen, "rate x1");
  // What is not finished is not chosen.
  there[4] = there[5] = nullptr;
  EXPECT_EQ(groups_of(grid, cells, there, "f1", false)[1].chosen, "rate x1");
}

}  // namespace
}  // namespace cambium::testing
