// Results of cells as HDF5 files, and the folder that holds them.
//
//   attributes of /     format_version, experiment, cell: model, method, task, seed, settings (JSON); notes
//   /scores             attributes: the scores, as metrics::score names and scales them
//   /measurements       attributes: seconds, tokens, bytes, counts
//   /notes              attributes: software_version, instruction_set, machine, base_hash, command, ...
//   /series/<name>      float64 [n]: "loss" has one number a step
//   /texts              inputs, outputs, references (of all inputs one after the other), reference_counts
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/files.h"
#include "experiments/lib/table/cell.h"

namespace cambium {

inline constexpr int64_t kResultVersion = 1;

struct CellResult {
  std::string experiment;
  Cell cell;
  std::map<std::string, double> scores, measurements;
  std::map<std::string, std::string> notes;
  std::map<std::string, std::vector<double>> series;
  std::vector<std::string> inputs, outputs;
  std::vector<std::vector<std::string>> references;

  double measured(const std::string& name) const;  // NaN where it is absent
  double score(const std::string& name) const;     // the same
  double value(const std::string& name) const;     // the score of this name, else the measurement
};

// What results say under a name of their notes: what all do, or how many different things they do.
std::string notes_of(const std::vector<const CellResult*>&, const std::string& name);

// Written whole or not at all.
void save_result(const std::string& path, const CellResult&);
// Throws InputError for a file that is damaged or no result.
CellResult read_result(const std::string& path);

// FOLDER/cells/<name>.h5 and, for what a cell needs while it runs and the checkpoints that it leaves,
// FOLDER/runs/<name>.
class ResultStore {
 public:
  explicit ResultStore(std::string folder) : folder_(std::move(folder)) {}

  const std::string& folder() const { return folder_; }
  std::string path_of(const Cell&) const;
  std::string run_folder(const Cell&) const;

  enum class State { missing, damaged, finished };
  struct Found {
    State state = State::missing;
    CellResult result;   // of a finished one
    std::string damage;  // why a file that is there cannot be used
  };
  Found find(const Cell&) const;
  void save(const CellResult&) const;
  // The right to run a cell, held until it is destroyed; none while another process holds it.
  std::optional<DirectoryLock> claim(const Cell&) const;

 private:
  std::string folder_;
};

}  // namespace cambium
