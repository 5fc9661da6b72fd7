// One cell of a tuning table: train, write, score, on a base model that all cells share.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "experiments/lib/table/result.h"
#include "experiments/lib/table/tuning_table.h"

namespace cambium {

// A preset with what the command line changed.
struct TuningSetting {
  TuningPreset preset;
  std::string data;  // directory of the task's files
  CommonOptions common;

  TrainOptions train_options(const TuningMethod&, uint64_t seed) const;
  // JSON of everything that a cell's result depends on.
  std::string describe(const std::string& experiment, const TuningMethod&, const std::string& task,
                       uint64_t seed) const;
};

class PeakMemory;

// The model and the data, read once and used by all cells.
class TuningBench {
 public:
  explicit TuningBench(const TuningSetting& setting) : setting_(setting) {}

  // Cells that train the base itself find it as it was loaded, and leave it so: its checksum is compared after each.
  CellResult run(const std::string& experiment, const Cell&, const TuningMethod&, const std::string& folder);
  // Data that are not there are an InputError.
  const Task& task(const std::string& name);

 private:
  Session& session();
  // A trained tuner; its numbers and losses go into the result.
  std::unique_ptr<Tuner> train_cell(const Cell&, const TuningMethod&, const std::string& folder, const PeakMemory&,
                                    CellResult&);
  void give_head(const Cell&);
  void restore_base(const Tuner*);
  void evaluate_cell(const Cell&, Hooks&, int64_t demonstrations, CellResult&);

  const TuningSetting& setting_;
  std::unique_ptr<Session> session_;
  uint64_t checksum_ = 0;
  std::map<std::string, std::unique_ptr<Task>> tasks_;
};

}  // namespace cambium
