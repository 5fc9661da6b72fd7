// The cells of a table, as their results are stored: one run of one method on one model, task and seed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cambium {

struct Cell {
  std::string model, method, task;
  uint64_t seed = 0;
  std::string settings;    // JSON of everything that the result depends on
  std::string place = {};  // the labels of the grid's other axes, for readers: "length 5"; it identifies nothing

  // For files: "smollm2-135m.e2e.prefix.seed0.1a2b3c4d". Its last part comes from `settings`, so other settings are
  // another cell and never overwrite this one.
  std::string name() const;
};

// The part of a grid that --cell I and --cells A-B choose, by numbers from 0; all of it without them. Throws InputError
// for numbers that the grid does not have.
std::vector<size_t> selected_cells(size_t count, std::optional<int64_t> cell, const std::string& cells);

// What a cell will take; below 0: not known, because the model or the data are not there.
struct CellCost {
  int64_t steps = -1, train_tokens = -1, decode_tokens = -1;
  double seconds = -1;  // an estimate
};

}  // namespace cambium
