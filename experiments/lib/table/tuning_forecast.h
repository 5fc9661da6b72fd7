// What the cells of a tuning table cost: steps, tokens, and the time that they will take here.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "experiments/lib/table/forecast.h"
#include "experiments/lib/table/tuning_cell.h"

namespace cambium {

class TuningForecast {
 public:
  explicit TuningForecast(const TuningSetting& setting) : setting_(setting) {}

  // Reads the model's shape and the tokens of some texts; the first one that needs a speed measures it.
  CellCost cost(const Cell&, const TuningMethod&, const Task&);
  // The model's shape; null where the model is not here.
  const ModelConfig* config();
  // How it is known: "measured on this machine in 1.4 s: ..."; empty before anything was measured.
  const std::string& calibration() const { return calibration_; }

 private:
  // How much there is in a task, in the model's tokens.
  struct TaskSize {
    int64_t examples = 0, inputs = 0;  // of training; of evaluation
    TextShape text;                    // means of an example
  };
  const TaskSize& size_of(const Task&);
  const Tokenizer* tokenizer();  // null where the model is not here
  const Speeds& speeds(const Task&);

  const TuningSetting& setting_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::optional<ModelConfig> config_;  // there with the tokenizer
  std::map<std::string, TaskSize> sizes_;
  std::map<std::string, Speeds> speeds_;
  std::string calibration_;
};

}  // namespace cambium
