#include "experiments/lib/table/study.h"

#include <algorithm>

#include "experiments/lib/table/cell_forecast.h"
#include "experiments/lib/table/cell_runner.h"
#include "experiments/lib/table/study_report.h"
#include "tuning/options.h"

namespace cambium {

std::string Claim::words() const {
  const auto both = [&] { return said(a) + " above " + said(b); };
  switch (kind) {
    case Kind::above: return both();
    case Kind::rises: return said(a) + (a.empty() ? "" : ": ") + "rises with " + axis;
    case Kind::gap_shrinks: return both() + ": less so with more " + axis;
    case Kind::correlates: break;
  }
  return said(a) + (a.empty() ? "" : ": ") + "goes along with " + measurement;
}

Claim above(Coordinates a, Coordinates b, std::string source) {
  return {.a = std::move(a), .b = std::move(b), .source = std::move(source)};
}
Claim method_above(const std::string& a, const std::string& b, std::string source, const Coordinates& where) {
  Coordinates better = where, worse = where;
  better["method"] = a, worse["method"] = b;
  return above(std::move(better), std::move(worse), std::move(source));
}
Claim rises(const std::string& axis, Coordinates where, std::string source) {
  return {.kind = Claim::Kind::rises, .a = std::move(where), .axis = axis, .source = std::move(source)};
}
Claim gap_shrinks(Coordinates a, Coordinates b, const std::string& axis, std::string source) {
  return {Claim::Kind::gap_shrinks, std::move(a), std::move(b), axis, "", std::move(source)};
}
Claim correlates(const std::string& measurement, Coordinates where, std::string source) {
  return {Claim::Kind::correlates, std::move(where), {}, "", measurement, std::move(source)};
}

std::vector<const Group*> StudyResults::at(const Coordinates& place) const {
  std::vector<const Group*> all;
  for (const Group& g : groups)
    if (lies_in(g.at, place)) all.push_back(&g);
  return all;
}

namespace {

class StudyExperiment : public Experiment {
 public:
  explicit StudyExperiment(Study study) : study_(std::move(study)) {}

  std::string name() const override { return study_.name; }
  std::string description() const override { return study_.title + "\n" + study_.paper + "\n\n" + study_.about; }
  std::vector<Preset> presets() const override {
    std::vector<Preset> all;
    for (const StudyPreset& p : study_.presets) all.push_back({p.name, p.description});
    return all;
  }

  void configure(const ExperimentOptions& options) override {
    command_ = options.command, common_ = options.common;
    const auto found = std::find_if(study_.presets.begin(), study_.presets.end(),
                                    [&](const auto& p) { return p.name == options.preset; });
    std::vector<std::string> names;
    for (const StudyPreset& p : study_.presets) names.push_back(p.name);
    check_input(found != study_.presets.end(), "--preset ", options.preset, ": there are ", listed(names));
    preset_ = *found;
    CellSpec& base = preset_.grid.base;
    const Device device = device_of(common_);
    base.data = options.data;
    base.dtype = cambium::name_of(weight_type_of(common_, device)), base.device = device.is_gpu() ? "gpu" : "cpu";
    base.kernels = {common_.attention, common_.fused_gelu};
    choose_model(options.model);
    choose_tasks(options.tasks);
    leave_out_demonstrations(options.methods);
    choose_methods(options.methods);
    for (const std::string& list : options.only) choose_values(list);
    const Axis* seeds = preset_.grid.axis("seed");
    const int64_t count = options.seeds ? options.seeds : seeds ? int64_t(seeds->values.size()) : 1;
    preset_.grid.set(seed_axis(count, common_.seed));
    cells_ = cells_of(preset_.grid);
    for (size_t i = 0; i < cells_.size(); ++i) numbers_[cells_[i].cell.settings] = i;
  }

  std::vector<Cell> cells() const override {
    std::vector<Cell> all;
    for (const GridCell& c : cells_) all.push_back(c.cell);
    return all;
  }
  std::string summary() const override {
    const CellSpec& s = preset_.grid.base;
    return text(listed(labels("model", s.model)), " on ", listed(labels("task", s.task)), ": ",
                s.examples ? text(s.examples) : "all", " training examples, ",
                s.train.steps ? text(s.train.steps, " steps, ")
                              : text(s.train.epochs, s.train.epochs == 1 ? " epoch, " : " epochs, "),
                s.inputs ? text(s.inputs) : "all", " inputs of ", s.split == Split::test ? "test" : "dev");
  }
  CellCost cost(const Cell& cell) override {
    const CellSpec& spec = spec_of(cell);
    return forecast_.cost(spec, runner_.task(spec.task, spec.data));
  }
  std::string calibration() const override { return forecast_.calibration(); }
  CellResult run(const Cell& cell, const std::string& folder) override {
    CellResult result = runner_.run(study_.name, spec_of(cell), folder);
    result.notes["command"] = command_;
    return result;
  }

  std::vector<ReportTable::Column> row_columns() const override { return cambium::row_columns(study_); }
  std::vector<ReportTable::Value> row(const CellResult& result) const override {
    return cambium::row_values(study_, result);
  }

  Report report(const std::vector<const CellResult*>& results) override {
    const ScoreColumn& main = study_.columns.front();
    const std::vector<Group> groups =
        groups_of(preset_.grid, cells_, results, main.score, main.better == ScoreColumn::Better::lower);
    const StudyResults all{preset_.grid, groups,
                           [&](const CellSpec& s) -> const Task& { return runner_.task(s.task, s.data); }};
    return study_report(study_, preset_, all, command_);
  }

 private:
  std::vector<std::string> labels(const std::string& axis, const std::string& otherwise) const {
    const Axis* found = preset_.grid.axis(axis);
    return found ? found->labels() : std::vector{otherwise};
  }
  void choose_model(const std::string& model) {
    if (model.empty()) return;
    check_input(preset_.name != kSmokePreset, "--model ", model, ": the preset ", kSmokePreset, " makes its own model");
    preset_.grid.base.model = model;
    if (preset_.grid.axis("model")) preset_.grid.set(model_axis({model}));
  }
  // Where the model chooses a class by a head or at a mask, as an encoder does, demonstrations have no place.
  void leave_out_demonstrations(const std::string& wanted) {
    Axis* methods = preset_.grid.axis("method");
    const CellSpec& base = preset_.grid.base;
    const auto has_some = [&](const Axis::Value& v) {
      CellSpec changed = base;
      v.change(changed);
      return changed.demonstrations > 0;
    };
    if (!methods || base.decision == Decision::text ||
        std::none_of(methods->values.begin(), methods->values.end(), has_some))
      return;
    const ModelConfig* config = forecast_.config(base.model);
    const std::string first = labels("task", base.task).front();
    const bool chooses = base.decision != Decision::automatic || (config && config->is_encoder());
    if (!chooses || !runner_.task(first, base.data).is_classification()) return;
    for (const Axis::Value& v : methods->values) {
      const std::vector<std::string> names = split(wanted);
      check_input(!has_some(v) || std::find(names.begin(), names.end(), v.label) == names.end(), "--methods ", wanted,
                  ": ", base.model, " chooses a class by a head, which demonstrations tell nothing: ", v.label,
                  " is for models that write the class's name");
    }
    std::erase_if(methods->values, has_some);
  }
  void choose_methods(const std::string& list) {
    Axis* methods = preset_.grid.axis("method");
    if (!methods) return check_input(list.empty(), "--methods ", list, ": this program compares no methods");
    if (list == "all") return;
    if (list.empty()) std::erase_if(methods->values, [](const Axis::Value& v) { return v.extra; });
    else keep(*methods, split(list), "--methods " + list, "; all is all of them");
  }
  void choose_values(const std::string& list) {
    const size_t equals = list.find('=');
    check_input(equals != list.npos, "--only ", list, ": give an axis and its values, like length=5,10");
    Axis* axis = preset_.grid.axis(list.substr(0, equals));
    std::vector<std::string> names;
    for (const Axis& a : preset_.grid.axes) names.push_back(a.name);
    check_input(axis, "--only ", list, ": the axes are ", listed(names));
    keep(*axis, split(list.substr(equals + 1)), "--only " + list, "");
  }
  // Those of these labels, in the order of the axis.
  static void keep(Axis& axis, const std::vector<std::string>& wanted, const std::string& option, const char* more) {
    const std::vector<std::string> known = axis.labels();
    for (const std::string& name : wanted)
      check_input(std::find(known.begin(), known.end(), name) != known.end(), option, ": ",
                  name.empty() ? "a name is empty" : name + " is none of " + listed(known), more);
    std::erase_if(axis.values, [&](const Axis::Value& v) {
      return std::find(wanted.begin(), wanted.end(), v.label) == wanted.end();
    });
  }
  void choose_tasks(const std::string& list) {
    if (list.empty()) return;
    std::vector<std::string> known = labels("task", preset_.grid.base.task);
    for (const std::string& t : study_.other_tasks)
      if (std::find(known.begin(), known.end(), t) == known.end()) known.push_back(t);
    const std::vector<std::string> tasks = split(list);
    for (const std::string& name : tasks)
      check_input(
          std::count(known.begin(), known.end(), name) == 1 && std::count(tasks.begin(), tasks.end(), name) == 1,
          "--tasks ", list, ": ",
          std::count(tasks.begin(), tasks.end(), name) > 1 ? name + " is there twice"
                                                           : "\"" + name + "\" is none of " + listed(known));
    preset_.grid.base.task = tasks.front();
    preset_.grid.set(task_axis(tasks));
  }
  const CellSpec& spec_of(const Cell& cell) const { return cells_[numbers_.at(cell.settings)].spec; }

  Study study_;
  StudyPreset preset_;
  CommonOptions common_;
  CellRunner runner_{common_};
  CellForecast forecast_{common_};
  std::vector<GridCell> cells_;
  std::map<std::string, size_t> numbers_;  // of cells, by their settings
  std::string command_;
};

}  // namespace

int study_program(int argc, char** argv, Study study) {
  StudyExperiment experiment(std::move(study));
  return experiment_program(argc, argv, experiment);
}

}  // namespace cambium
