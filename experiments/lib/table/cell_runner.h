// Runs the cells of a grid: train, write, score, on a base model that all cells of that model share.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "experiments/lib/table/result.h"
#include "experiments/lib/table/spec.h"

namespace cambium {

class PeakMemory;

class CellRunner {
 public:
  explicit CellRunner(const CommonOptions& common) : common_(common) {}

  // `folder` keeps what the cell's training writes; the runs of the cells that others start from lie beside it. Cells
  // that train the base itself find it as it was loaded, and leave it so: its checksum is compared after each.
  CellResult run(const std::string& experiment, const CellSpec&, const std::string& folder);
  // Data that are not there are an InputError.
  const Task& task(const std::string& name, const std::string& data);
  // The model of the last cell, or this one, loaded in its place.
  Session& session(const std::string& model);

 private:
  // The tuner that answers; null: none.
  std::unique_ptr<Tuner> tuner_of(const CellSpec&, const std::string& folder, const PeakMemory&, CellResult&);
  std::unique_ptr<Tuner> train_cell(const CellSpec&, const std::string& folder, const PeakMemory&, CellResult&);
  void give_head(const CellSpec&);
  void restore_base(const Tuner*);
  void evaluate_cell(const CellSpec&, Hooks&, CellResult&);
  const Task& task(const CellSpec& spec) { return task(spec.task, spec.data); }

  const CommonOptions& common_;
  std::string model_;  // of the session
  std::unique_ptr<Session> session_;
  uint64_t checksum_ = 0;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Task>> tasks_;
};

// What a trained cell leaves for those that start from it: the tuner, in the folder of its run.
std::string tuner_file(const std::string& run_folder);

}  // namespace cambium
