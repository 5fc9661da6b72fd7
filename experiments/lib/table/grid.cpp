#include "experiments/lib/table/grid.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "experiments/lib/statistics.h"
#include "tuning/methods.h"

namespace cambium {

bool lies_in(const Coordinates& place, const Coordinates& some) {
  return std::all_of(some.begin(), some.end(), [&](const auto& label) {
    const auto found = place.find(label.first);
    return found != place.end() && found->second == label.second;
  });
}

std::string said(const Coordinates& at) {
  std::string words;
  for (const auto& [axis, label] : at) {
    words += words.empty() ? "" : ", ";
    words += axis == "method" || axis == "model" || axis == "task" ? label : axis + " " + label;
  }
  return words;
}

std::vector<std::string> Axis::labels() const {
  std::vector<std::string> all;
  for (const Value& v : values) all.push_back(v.label);
  return all;
}

std::vector<Row> all_methods() {
  return {
      {.name = "zero-shot"},
      {.name = "few-shot", .demonstrations = 3},
      {.name = "prompt", .tuner = "prompt", .options = {{"length", "20"}, {"init", "text"}}},
      {.name = "prefix", .tuner = "prefix", .options = {{"length", "10"}, {"init", "words"}}},
      {.name = "adapter", .tuner = "adapter"},
      {.name = "lora", .tuner = "lora"},
      {.name = "top_layers", .tuner = "top_layers", .extra = true},
      {.name = "full", .tuner = "full", .extra = true},
  };
}

std::vector<Row> without_extra(std::vector<Row> methods) {
  for (Row& m : methods) m.extra = false;
  return methods;
}

std::vector<Row> only(const std::vector<std::string>& names, const std::vector<Row>& methods) {
  std::vector<Row> chosen;
  for (const std::string& name : names) {
    const auto found = std::find_if(methods.begin(), methods.end(), [&](const Row& m) { return m.name == name; });
    CHECK(found != methods.end(), "no method ", name);
    chosen.push_back(*found);
    chosen.back().extra = false;
  }
  return chosen;
}

Axis method_axis(const std::vector<Row>& methods) {
  Axis axis{.name = "method"};
  for (const Row& m : methods)
    axis.values.push_back({m.name,
                           [m](CellSpec& spec) {
                             spec.method = m.name, spec.tuner = m.tuner, spec.options = m.options;
                             spec.demonstrations = m.demonstrations;
                             if (m.lr > 0) spec.train.lr = m.lr;
                             if (m.epochs) spec.train.epochs = m.epochs;
                             if (m.batch_size) spec.train.batch_size = m.batch_size;
                             if (m.adjust) m.adjust(spec.train);
                           },
                           m.extra});
  return axis;
}

Axis model_axis(const std::vector<std::string>& models) {
  Axis axis{.name = "model"};
  for (const std::string& model : models) axis.values.push_back({model, [model](CellSpec& s) { s.model = model; }});
  return axis;
}

Axis task_axis(const std::vector<std::string>& tasks) {
  Axis axis{.name = "task"};
  for (const std::string& task : tasks) axis.values.push_back({task, [task](CellSpec& s) { s.task = task; }});
  return axis;
}

Axis seed_axis(int64_t count, uint64_t first) {
  Axis axis{.name = "seed"};
  for (uint64_t seed = first; seed < first + uint64_t(count); ++seed)
    axis.values.push_back({std::to_string(seed), [seed](CellSpec& s) { s.seed = seed; }});
  return axis;
}

Axis examples_axis(const std::vector<int64_t>& counts) {
  Axis axis{.name = "examples"};
  for (const int64_t n : counts) axis.values.push_back({std::to_string(n), [n](CellSpec& s) { s.examples = n; }});
  return axis;
}

Axis option_axis(const std::string& option, const std::vector<std::string>& values) {
  Axis axis{.name = option};
  for (const std::string& value : values)
    axis.values.push_back({value, [option, value](CellSpec& s) {
                             if (!s.tuner.empty()) s.options[option] = value;
                           }});
  return axis;
}

Axis rate_axis(const std::vector<double>& factors) {
  Axis axis{.name = "rate", .chosen_on_dev = true};
  for (const double f : factors)
    axis.values.push_back({text("x", f), [f](CellSpec& s) {
                             if (s.trains())
                               s.train.lr = f * (s.train.lr > 0 ? s.train.lr : default_learning_rate(s.tuner));
                           }});
  return axis;
}

const Axis* Grid::axis(const std::string& name) const {
  const auto found = std::find_if(axes.begin(), axes.end(), [&](const Axis& a) { return a.name == name; });
  return found == axes.end() ? nullptr : &*found;
}
Axis* Grid::axis(const std::string& name) { return const_cast<Axis*>(std::as_const(*this).axis(name)); }

void Grid::set(Axis axis) {
  if (Axis* old = this->axis(axis.name)) *old = std::move(axis);
  else axes.insert(axes.begin(), std::move(axis));
}

namespace {

class Expansion {
 public:
  explicit Expansion(const Grid& grid) : grid_(grid) {}

  std::vector<GridCell> all() {
    expand(0, {}, grid_.base);
    return std::move(cells_);
  }

 private:
  void expand(size_t axis, const Coordinates& at, const CellSpec& spec) {
    if (axis == grid_.axes.size()) return add(at, spec);
    for (const Axis::Value& value : grid_.axes[axis].values) {
      Coordinates place = at;
      CellSpec changed = spec;
      place[grid_.axes[axis].name] = value.label;
      value.change(changed);
      expand(axis + 1, place, changed);
    }
  }
  // A start is a cell of its own. One that stands in the grid too is shown where it stands there.
  void add_starts(const CellSpec& spec) {
    if (!spec.start) return;
    add_starts(*spec.start);
    const Cell start = cell_of(*spec.start);
    if (known_.insert({start.settings, cells_.size()}).second) cells_.push_back({{}, *spec.start, start, false});
  }
  void add(Coordinates at, const CellSpec& spec) {
    add_starts(spec);
    Cell cell = cell_of(spec);
    for (const auto& [axis, label] : at)
      if (axis != "model" && axis != "method" && axis != "task" && axis != "seed")
        cell.place += text(cell.place.empty() ? "" : ", ", axis, " ", label);
    at.insert({{"model", cell.model}, {"method", cell.method}, {"task", cell.task}});
    const auto [place, fresh] = known_.insert({cell.settings, cells_.size()});
    if (fresh) cells_.push_back({std::move(at), spec, std::move(cell)});
    else if (GridCell& there = cells_[place->second]; !there.shown)
      there.at = std::move(at), there.cell = std::move(cell), there.shown = true;
  }

  const Grid& grid_;
  std::vector<GridCell> cells_;
  std::map<std::string, size_t> known_;  // settings of all so far
};

}  // namespace

std::vector<GridCell> cells_of(const Grid& grid) { return Expansion(grid).all(); }

std::vector<double> Group::values(const std::string& name) const {
  std::vector<double> all;
  for (const CellResult* r : seeds)
    if (const double v = r->value(name); std::isfinite(v)) all.push_back(v);
  return all;
}

double Group::mean(const std::string& name) const {
  return mean_of_finite(values(name));
}

std::vector<Group> groups_of(const Grid& grid, const std::vector<GridCell>& cells,
                             const std::vector<const CellResult*>& results, const std::string& score, bool least) {
  struct Candidates {  // groups of one place, one for each value of what is chosen
    Coordinates at;
    std::vector<Group> all;
  };
  std::vector<Candidates> places;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (!cells[i].shown) continue;
    Coordinates at = cells[i].at, chosen;
    at.erase("seed");
    for (const Axis& axis : grid.axes)
      if (axis.chosen_on_dev) chosen.merge(Coordinates{{axis.name, at[axis.name]}}), at.erase(axis.name);
    auto place = std::find_if(places.begin(), places.end(), [&](const Candidates& c) { return c.at == at; });
    if (place == places.end()) place = places.insert(places.end(), {at, {}});
    auto group =
        std::find_if(place->all.begin(), place->all.end(), [&](const Group& g) { return g.chosen == said(chosen); });
    if (group == place->all.end())
      group = place->all.insert(group, {.at = at, .spec = cells[i].spec, .wanted = 0, .chosen = said(chosen)});
    ++group->wanted;
    if (results[i]) group->seeds.push_back(results[i]);
  }
  std::vector<Group> groups;
  for (Candidates& place : places) {
    const auto worse = [&](const Group& a, const Group& b) {
      const double x = a.mean("dev_" + score), y = b.mean("dev_" + score);
      return std::isfinite(y) && (!std::isfinite(x) || (least ? y < x : x < y));
    };
    Group& best = *std::max_element(place.all.begin(), place.all.end(), worse);
    if (place.all.size() == 1) best.chosen.clear();
    groups.push_back(std::move(best));
  }
  return groups;
}

}  // namespace cambium
