// A table or figure of a paper, declared by data: which cells, what the paper prints and claims, how results are shown.
#pragma once

#include <string>
#include <vector>

#include "experiments/lib/table/experiment.h"
#include "experiments/lib/table/grid.h"
#include "experiments/lib/table/smoke_model.h"

namespace cambium {

// A score or a measurement as a column: `score` is its name in result files.
struct ScoreColumn {
  std::string score, title;
  double scale = 1;
  int decimals = 2;
  bool in_papers = true;  // false: only measured; behind those that papers print
  enum class Better : uint8_t { higher, lower } better = Better::higher;
};

// What a paper prints for a place, in the order of the columns; NaN where it prints nothing. `setting` stands in the
// row, in words: what was measured there, where it is not what the row's name says or where readers would ask (size,
// length, data set). `options` are those of our tuner that say the same: where the row here has others, they are added
// ("here length=10").
struct Published {
  Coordinates at;
  std::string source;
  std::vector<double> values;
  std::string setting = {};
  OptionMap options = {};
};

// A trend that the paper reports, in the first column, for each place of the grid that fits.
struct Claim {
  enum class Kind : uint8_t {
    above,        // a scores better than b
    rises,        // the last value of `axis` scores better than the first
    gap_shrinks,  // a's lead over b is larger at the first value of `axis` than at the last
    correlates,   // over all places, `measurement` is larger where the score is better
  };
  Kind kind = Kind::above;
  Coordinates a, b;
  std::string axis, measurement, source;

  std::string words() const;
};
Claim above(Coordinates a, Coordinates b, std::string source);
// Of two methods, where `where` says.
Claim method_above(const std::string& a, const std::string& b, std::string source, const Coordinates& where = {});
Claim rises(const std::string& axis, Coordinates where, std::string source);
Claim gap_shrinks(Coordinates a, Coordinates b, const std::string& axis, std::string source);
Claim correlates(const std::string& measurement, Coordinates where, std::string source);

// How results are shown, apart from the first table of each task and model, which has all columns and costs. Each
// picture is drawn for every place along the axes that it does not name.
struct Picture {
  enum class Kind : uint8_t {
    matrix,    // rows by columns, and the mean of each row
    heat_map,  // the same, with a figure of coloured fields
    curve,     // `rows` are numbers on the x axis, a line for each of `columns`
    scatter,   // a point for each of `columns`: the measurement `x`, the score
  };
  Kind kind = Kind::matrix;
  std::string rows = "method", columns = "task";  // axes
  std::string x = {};                             // scatter: a measurement
  size_t column = 0;                              // of the study's
  bool log_x = false;
  std::string title = {};
  bool relative = false;  // heat map: each row divided by its field on the diagonal
};

struct StudyPreset {
  std::string name, description;
  Grid grid;
  std::vector<std::string> notes = {};  // what differs from the paper, for readers of the table
};

// The name of the preset that needs no download: its model is one of smoke_model.h, of random weights, made on the
// spot.
inline constexpr const char* kSmokePreset = "smoke";

// What the finished cells of a grid say.
struct StudyResults {
  const Grid& grid;
  const std::vector<Group>& groups;
  std::function<const Task&(const CellSpec&)> task;

  std::vector<const Group*> at(const Coordinates&) const;
};

struct Study {
  std::string name, title, paper, about;
  std::vector<ScoreColumn> columns;    // the first is the one of tests and figures
  std::string published_setting = {};  // model and data of the published numbers
  std::vector<Published> published = {};
  std::vector<Claim> claims = {};
  std::vector<std::string> notes = {};  // what differs from the paper, for readers of the table
  std::vector<StudyPreset> presets;
  std::vector<std::string> other_tasks = {};  // that --tasks may name beside the preset's
  std::vector<Picture> pictures = {};
  bool tables = true;  // the table of each task and model; false: the pictures say all of it
  // What only this item shows; added behind the pictures.
  std::function<void(const StudyResults&, Report&)> more = {};
};

// The whole main of such an item.
int study_program(int argc, char** argv, Study);

}  // namespace cambium
