#include "experiments/lib/table/tuning_table.h"

#include <algorithm>

#include "experiments/lib/table/tuning_forecast.h"
#include "experiments/lib/table/tuning_report.h"
#include "tuning/options.h"

namespace cambium {
namespace {

std::string names_of(const auto& all) {
  std::vector<std::string> names;
  for (const auto& one : all) names.push_back(one.name);
  return listed(names);
}

class TuningExperiment : public Experiment {
 public:
  explicit TuningExperiment(TuningTable table) : table_(std::move(table)), bench_(setting_), forecast_(setting_) {}

  std::string name() const override { return table_.name; }
  std::string description() const override { return table_.title + "\n" + table_.paper + "\n\n" + table_.about; }
  std::vector<Preset> presets() const override {
    std::vector<Preset> all;
    for (const TuningPreset& p : table_.presets) all.push_back({p.name, p.description});
    return all;
  }

  void configure(const ExperimentOptions& options) override {
    command_ = options.command;
    const auto found = std::find_if(table_.presets.begin(), table_.presets.end(),
                                    [&](const auto& p) { return p.name == options.preset; });
    check_input(found != table_.presets.end(), "--preset ", options.preset, ": there are ", names_of(table_.presets));
    setting_ = {.preset = *found, .data = options.data, .common = options.common};
    TuningPreset& preset = setting_.preset;
    check_input(options.model.empty() || preset.name != kSmokePreset, "--model ", options.model, ": the preset ",
                kSmokePreset, " makes its own model");
    if (!options.model.empty()) preset.model = options.model;
    if (options.seeds) preset.seeds = options.seeds;
    if (!options.tasks.empty()) choose_tasks(options.tasks);
    leave_out_demonstrations(options.methods);
    choose_methods(options.methods);
    for (const std::string& task : preset.tasks)
      for (const TuningMethod& method : methods_)
        for (int64_t k = 0; k < preset.seeds; ++k) {
          const uint64_t seed = options.common.seed + uint64_t(k);
          cells_.push_back({preset.model, method.name, task, seed, setting_.describe(table_.name, method, task, seed)});
        }
  }

  std::vector<Cell> cells() const override { return cells_; }
  std::string summary() const override {
    const TuningPreset& p = setting_.preset;
    std::string tasks;
    for (const std::string& task : p.tasks) tasks += (tasks.empty() ? "" : ", ") + task;
    return text(p.model, " on ", tasks, ": ", p.examples ? text(p.examples) : "all", " training examples, ",
                p.train.epochs, p.train.epochs == 1 ? " epoch, " : " epochs, ", p.inputs ? text(p.inputs) : "all",
                " inputs of ", p.split == Split::test ? "test" : "dev");
  }
  CellCost cost(const Cell& cell) override {
    return forecast_.cost(cell, method_named(cell.method), bench_.task(cell.task));
  }
  std::string calibration() const override { return forecast_.calibration(); }
  CellResult run(const Cell& cell, const std::string& folder) override {
    CellResult result = bench_.run(table_.name, cell, method_named(cell.method), folder);
    result.notes["command"] = command_;
    return result;
  }

  std::vector<ReportTable::Column> row_columns() const override { return cambium::row_columns(table_); }
  std::vector<ReportTable::Value> row(const CellResult& result) const override {
    return cambium::row_values(table_, result);
  }

  Report report(const std::vector<const CellResult*>& results) override {
    Report all;
    for (const std::string& task : setting_.preset.tasks) {
      std::vector<RowResults> rows;
      for (const TuningMethod& method : methods_) {
        RowResults& row = rows.emplace_back(RowResults{.method = method});
        for (size_t i = 0; i < cells_.size(); ++i)
          if (cells_[i].task == task && cells_[i].method == method.name && ++row.wanted && results[i])
            row.seeds.push_back(results[i]);
      }
      Report one = tuning_report(table_, setting_, *make_task(task, setting_.data), command_, rows);
      if (all.title.empty()) {
        all = std::move(one);
        continue;
      }
      std::move(one.tables.begin(), one.tables.end(), std::back_inserter(all.tables));
      std::move(one.figures.begin(), one.figures.end(), std::back_inserter(all.figures));
      std::move(one.samples.begin(), one.samples.end(), std::back_inserter(all.samples));
    }
    return all;
  }

 private:
  // Where the model chooses a class by a head or at a mask, as an encoder does, demonstrations have no place.
  void leave_out_demonstrations(const std::string& wanted) {
    TuningPreset& preset = setting_.preset;
    const auto has_some = [](const TuningMethod& m) { return m.demonstrations > 0; };
    const bool written = preset.decision == Decision::text;
    if (written || std::none_of(preset.methods.begin(), preset.methods.end(), has_some)) return;
    if (!make_task(preset.tasks.front(), setting_.data)->is_classification()) return;
    const ModelConfig* config = forecast_.config();
    const bool chooses = preset.decision != Decision::automatic || (config && config->is_encoder());
    if (!chooses) return;
    const std::vector<std::string> named = split(wanted);
    for (const TuningMethod& m : preset.methods)
      check_input(!has_some(m) || std::find(named.begin(), named.end(), m.name) == named.end(), "--methods ", wanted,
                  ": ", preset.model,
                  " chooses a class by a head or at a mask, which demonstrations tell nothing: ", m.name,
                  " is for models that write the class's name");
    std::erase_if(preset.methods, has_some);
  }
  void choose_methods(const std::string& list) {
    const std::vector<TuningMethod>& known = setting_.preset.methods;
    for (const TuningMethod& m : known)
      if (list == "all" || (list.empty() && !m.extra)) methods_.push_back(m);
    if (!methods_.empty()) return;
    const std::vector<std::string> wanted = split(list);
    for (const std::string& name : wanted)
      check_input(std::any_of(known.begin(), known.end(), [&](const auto& m) { return m.name == name; }), "--methods ",
                  list, ": ", name.empty() ? "a name is empty" : name + " is none of " + names_of(known),
                  "; all is all of them");
    for (const TuningMethod& m : known)  // in the order of the table
      if (std::find(wanted.begin(), wanted.end(), m.name) != wanted.end()) methods_.push_back(m);
  }
  void choose_tasks(const std::string& list) {
    std::vector<std::string>& tasks = setting_.preset.tasks;
    std::vector<std::string> known = tasks;
    for (const std::string& t : table_.other_tasks)
      if (std::find(known.begin(), known.end(), t) == known.end()) known.push_back(t);
    tasks = split(list);
    for (const std::string& name : tasks)
      check_input(
          std::count(known.begin(), known.end(), name) == 1 && std::count(tasks.begin(), tasks.end(), name) == 1,
          "--tasks ", list, ": ",
          std::count(tasks.begin(), tasks.end(), name) > 1 ? name + " is there twice"
                                                           : "\"" + name + "\" is none of " + listed(known));
  }
  const TuningMethod& method_named(const std::string& name) const {
    for (const TuningMethod& m : methods_)
      if (m.name == name) return m;
    throw Error(text("no method ", name));
  }

  TuningTable table_;
  TuningSetting setting_;
  TuningBench bench_;
  TuningForecast forecast_;
  std::vector<TuningMethod> methods_;
  std::vector<Cell> cells_;
  std::string command_;
};

}  // namespace

std::vector<TuningMethod> all_methods() {
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

std::vector<TuningMethod> without_extra(std::vector<TuningMethod> methods) {
  for (TuningMethod& m : methods) m.extra = false;
  return methods;
}

std::unique_ptr<Experiment> make_tuning_experiment(TuningTable table) {
  return std::make_unique<TuningExperiment>(std::move(table));
}

int tuning_table_program(int argc, char** argv, TuningTable table) {
  TuningExperiment experiment(std::move(table));
  return experiment_program(argc, argv, experiment);
}

}  // namespace cambium
