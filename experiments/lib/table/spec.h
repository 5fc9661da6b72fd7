// What a cell of a table computes: one value of every setting that its result depends on.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "experiments/lib/classification.h"
#include "experiments/lib/table/cell.h"
#include "experiments/lib/tasks/task.h"
#include "models/generation.h"
#include "tuning/train_options.h"
#include "tuning/tuner.h"

namespace cambium {

// A tuner is trained on a task and answers it; or it is taken as another cell left it (`start`), and answers this task,
// too. Without either the model answers as it is.
struct CellSpec {
  std::string model;
  std::string method;  // the row's name
  std::string tuner;   // empty: none is trained
  OptionMap options = {};
  bool untrained = false;      // the tuner answers with its initial values
  int64_t demonstrations = 0;  // training examples in front of each input, chosen by the seed
  std::string task;
  std::string data = {};                    // directory of the task's files
  int64_t examples = 0;                     // of training, drawn by the seed; 0: all
  int64_t inputs = 0;                       // the first distinct inputs of the split; 0: all
  Split split = Split::test;                // that is answered
  Decision decision = Decision::automatic;  // of classification: how the model tells the class
  // So many inputs of dev choose among cells (scores "dev_..."); where `split` is dev they are its first ones, and the
  // others are answered.
  int64_t choosing = 0;
  int64_t dev = 0;  // examples of dev whose loss is measured while training (train.eval_every); 0: none
  TrainOptions train = {};
  GenerationOptions generation = {};        // classification reads the batch size alone
  std::vector<std::string> forbidden = {};  // texts whose tokens are never completed in outputs
  uint64_t seed = 0;
  std::string dtype = {}, device = {};         // of the frozen base; what computes: "cpu" or "gpu"
  Kernels kernels = {};                        // of a GPU
  std::shared_ptr<const CellSpec> start = {};  // the cell whose tuner training starts from, or that answers

  bool trains() const { return !tuner.empty() && !untrained; }
};

// Everything that the cell's result depends on, defaults included, and nothing else: its identity. Equal cells have
// equal JSON, whatever was spelled out. What cannot matter is left out: training of a cell that trains nothing, the
// batch size of decoding, when checkpoints are saved.
nlohmann::json to_json(const CellSpec&);

// The cell under which its result is stored.
Cell cell_of(const CellSpec&);

}  // namespace cambium
