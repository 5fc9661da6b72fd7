// An experiment: what a program of a paper's table or figure must say of itself, so that `plan`, `run` and `show` work.
//
// Tables of tuned models do not write this by hand: see study.h. What needs other cells than those of
// a grid derives from it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "experiments/lib/session.h"
#include "experiments/lib/table/report.h"
#include "experiments/lib/table/result.h"

namespace cambium {

// What the command line chose.
struct ExperimentOptions {
  std::string preset;
  std::string model;              // empty: the preset's
  std::string data;               // directory of the task's files; empty: what ships with the program
  std::string methods;            // "prompt,prefix", "all"; empty: the preset's
  std::string tasks;              // "scitldr,samsum"; empty: the preset's
  std::vector<std::string> only;  // "length=5,10": these values of an axis
  int64_t seeds = 0;              // 0: the preset's; else --seed, --seed + 1, ...
  std::string command;            // that runs this grid, for readers of the report
  CommonOptions common;
};

class Experiment {
 public:
  virtual ~Experiment() = default;

  virtual std::string name() const = 0;         // of the program and of its folder of results
  virtual std::string description() const = 0;  // for --help: what it reproduces, from which paper
  struct Preset {
    std::string name, description;
  };
  virtual std::vector<Preset> presets() const = 0;

  // Throws InputError for a preset or method that is not there. Called once, before everything below.
  virtual void configure(const ExperimentOptions&) = 0;
  virtual std::vector<Cell> cells() const = 0;
  // What the grid computes, in a line: model, data, budget.
  virtual std::string summary() const = 0;
  virtual CellCost cost(const Cell&) = 0;
  // Where the costs' seconds come from; empty where there are none.
  virtual std::string calibration() const { return ""; }

  // Computes one cell; checkpoints and what an interrupted run needs go to `folder`, from which it continues. Throws
  // Stopped after a signal, when what was done is saved.
  virtual CellResult run(const Cell&, const std::string& folder) = 0;
  // A finished cell as a row of few columns, for a table that grows while the others run.
  virtual std::vector<ReportTable::Column> row_columns() const = 0;
  virtual std::vector<ReportTable::Value> row(const CellResult&) const = 0;
  // results[i] belongs to cells()[i]; those without a result are null.
  virtual Report report(const std::vector<const CellResult*>& results) = 0;
};

// The main of an experiment: plan, run, show; the exit code of the program.
int experiment_program(int argc, char** argv, Experiment&);

}  // namespace cambium
