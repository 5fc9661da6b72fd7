// What the cells of a grid cost: steps, tokens, and the time that they will take here.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "experiments/lib/table/forecast.h"

namespace cambium {

class CellForecast {
 public:
  explicit CellForecast(const CommonOptions& common) : common_(common) {}

  // Reads the model's shape and the tokens of some texts; the first cell of a model and task that needs a speed
  // measures it.
  CellCost cost(const CellSpec&, const Task&);
  // The model's shape; null where the model is not here.
  const ModelConfig* config(const std::string& model);
  // How it is known: "measured on this machine in 1.4 s: ..."; empty before anything was measured.
  const std::string& calibration() const { return calibration_; }

 private:
  struct Known {  // of a model; nothing where it is not here
    std::unique_ptr<const Tokenizer> tokenizer;
    std::optional<ModelConfig> config;
  };
  // How much there is in a task, in the model's tokens.
  struct TaskSize {
    int64_t examples = 0, inputs = 0;  // of training; of evaluation
    TextShape text;                    // means of an example
  };
  const Known& known(const std::string& model);
  const TaskSize& size_of(const CellSpec&, const Task&);
  const Speeds& speeds(const CellSpec&, const Task&);

  const CommonOptions& common_;
  std::map<std::string, Known> models_;
  std::map<std::string, TaskSize> sizes_;  // by model, task, data and split
  std::map<std::string, Speeds> speeds_;   // by model and task
  std::string calibration_;
};

}  // namespace cambium
