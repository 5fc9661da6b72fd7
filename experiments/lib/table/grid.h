// A grid of cells: one description, changed along axes.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "experiments/lib/table/result.h"
#include "experiments/lib/table/spec.h"

namespace cambium {

// Where a cell stands: a label for each axis, by the axis' name. Every cell has "model", "method" and "task".
using Coordinates = std::map<std::string, std::string>;

// Whether `place` has all labels of `some`.
bool lies_in(const Coordinates& place, const Coordinates& some);
// "length 5, task sst2"
std::string said(const Coordinates&);

struct Axis {
  struct Value {
    std::string label;
    std::function<void(CellSpec&)> change;
    bool extra = false;  // only where it is asked for by its name, or all are
  };
  std::string name;
  std::vector<Value> values;
  // The value with the best score on dev (mean over seeds) stands for all: its cells are the row. Every row has the
  // same values to choose from.
  bool chosen_on_dev = false;

  std::vector<std::string> labels() const;
};

// A row: a tuner with its options, or the model as it is (no tuner), by itself or behind demonstrations. What is 0 is
// the base's or the tuner's own.
struct Row {
  std::string name, tuner = {};
  OptionMap options = {};
  int64_t demonstrations = 0;
  double lr = 0;
  int64_t epochs = 0, batch_size = 0;
  void (*adjust)(TrainOptions&) = nullptr;  // the rest of what its paper does otherwise
  bool extra = false;
};

// The rows of presets that follow no paper: the model as it is, and every tuner. A prompt starts from the task's words,
// a prefix from the keys and values of such words: random starts cost both dearly on few examples. top_layers and full
// are extra.
std::vector<Row> all_methods();
// The same rows, none of them extra.
std::vector<Row> without_extra(std::vector<Row>);
// Those of these names, in their order here.
std::vector<Row> only(const std::vector<std::string>& names, const std::vector<Row>&);

Axis method_axis(const std::vector<Row>&);
Axis model_axis(const std::vector<std::string>& models);
Axis task_axis(const std::vector<std::string>& tasks);
Axis seed_axis(int64_t count, uint64_t first = 0);
Axis examples_axis(const std::vector<int64_t>& counts);
// An option of the row's tuner; rows without a tuner are the same for all values.
Axis option_axis(const std::string& option, const std::vector<std::string>& values);
// The rate of each row's own tuner times each factor; the best on dev stands for all.
Axis rate_axis(const std::vector<double>& factors);

struct Grid {
  CellSpec base;
  std::vector<Axis> axes;  // the first varies slowest

  // Null where there is none of this name.
  const Axis* axis(const std::string& name) const;
  Axis* axis(const std::string& name);
  // The axis of the new one's name is replaced; where there is none, the new one is the first.
  void set(Axis);
};

struct GridCell {
  Coordinates at;
  CellSpec spec;
  Cell cell;
  bool shown = true;  // false: only a start of others
};

// All cells, each once (rows for which an axis changes nothing have its first label), every start in front of those
// that need it. A start is made of the cell as the axes before have changed it: an axis that makes some stands last.
std::vector<GridCell> cells_of(const Grid&);

// The cells that differ by their seed alone; along an axis that is chosen on dev, those of the chosen value.
struct Group {
  Coordinates at;                             // without seed and what was chosen
  CellSpec spec;                              // of the first
  std::vector<const CellResult*> seeds = {};  // only finished ones
  int64_t wanted = 1;
  std::string chosen = {};  // "rate x3"; empty: nothing was to choose

  // Of all seeds that have it: a score, or a measurement.
  std::vector<double> values(const std::string& name) const;
  double mean(const std::string& name) const;  // NaN where no seed has it
};

// results[i] belongs to cells[i]; null: not finished. `score` chooses on dev ("dev_accuracy" for "accuracy"), the
// largest one, or the least.
std::vector<Group> groups_of(const Grid&, const std::vector<GridCell>& cells,
                             const std::vector<const CellResult*>& results, const std::string& score, bool least);

}  // namespace cambium
