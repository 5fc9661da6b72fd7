// P-tuning: a prompt whose rows a small network makes of a table.                 (Liu et al. 2021, "GPT understands, too")
#pragma once

#include "tuning/prompt.h"

namespace cambium {

// mlp:   table [length, width] -> Linear(width, hidden), ReLU, Linear(hidden, hidden), ReLU, Linear(hidden, width)
// lstm:  table -> two layers of a bidirectional LSTM (hidden each way) -> Linear(2 hidden, 2 hidden), ReLU,
//        Linear(2 hidden, width)
// as PEFT's PromptEncoder computes them, under its names. The table starts as N(0, 1), matrices and biases as torch's do
// (uniform, bound 1 / sqrt(inputs); of the LSTM 1 / sqrt(hidden)). The rows stand where a prompt's do.
class PTuning : public VirtualRows {
 public:
  struct Options {
    int64_t length = 20;
    std::string encoder = "lstm";
    int64_t hidden = 0;  // 0: the model's width
  };
  static TunerMaker read(OptionReader&);
  PTuning(const Options&, const TunerContext&);

  std::string method() const override { return "p_tuning"; }
  OptionMap options() const override;
  std::vector<NamedParameter> parameters() override;
  static constexpr double kLearningRate = 5e-3;
  double default_learning_rate() const override { return kLearningRate; }
  double live_share(std::string_view name) const override;

 private:
  Var rows_of(Pass&, StackKind) override;
  Var linear(const Pass&, const std::string& name, const Var& x) const;
  Var lstm_layer(const Pass&, const std::string& layer, const Var& x) const;
  void add(const TunerContext&, const std::string& name, const Shape&, double bound);

  Options options_;
  std::string stack_;                       // "encoder" or "decoder"
  std::map<std::string, Parameter> values_;  // "mlp_head.0.weight"
};

}  // namespace cambium
