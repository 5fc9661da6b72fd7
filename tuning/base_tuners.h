// Tuners without parameters of their own: they choose which of the base's train.
#pragma once

#include "tuning/options.h"
#include "tuning/tuner.h"

namespace cambium {

// Everything trains, or the parameters whose names begin in a chosen way.
class Full : public Tuner {
 public:
  // only: beginnings of names; empty: all. Throws InputError for one that no parameter has.
  static TunerMaker read(OptionReader&);
  Full(std::vector<std::string> only, const TunerContext&);
  std::string method() const override { return "full"; }
  OptionMap options() const override;
  static constexpr double kLearningRate = 5e-5;
  double default_learning_rate() const override { return kLearningRate; }
  double live_share(std::string_view name) const override;
  bool trains(std::string_view name) const override;
  bool reaches_inside(const Site&) const override { return false; }
  bool merge_into(Model&) override { return true; }  // its values are the base's own

 private:
  std::vector<std::string> only_;
};

// The last layers of the model's last stack, and the norm behind them. (Li & Liang 2021, "FT-top2")
class TopLayers : public Tuner {
 public:
  static TunerMaker read(OptionReader&);
  TopLayers(int64_t layers, const TunerContext&);
  std::string method() const override { return "top_layers"; }
  OptionMap options() const override { return {{"layers", std::to_string(layers_)}}; }
  static constexpr double kLearningRate = 1e-4;
  double default_learning_rate() const override { return kLearningRate; }
  double live_share(std::string_view name) const override;
  bool trains(std::string_view name) const override;
  bool reaches_inside(const Site&) const override { return false; }
  bool merge_into(Model&) override { return true; }

 private:
  int64_t layers_;
  std::vector<std::string> prefixes_;
};

// All biases, of products, norms and heads. Llama and T5 have none.                (Ben Zaken et al. 2022, section 3)
class BitFit : public Tuner {
 public:
  static TunerMaker read(OptionReader&);
  explicit BitFit(const TunerContext&);
  std::string method() const override { return "bitfit"; }
  OptionMap options() const override { return {}; }
  static constexpr double kLearningRate = 1e-3;
  double default_learning_rate() const override { return kLearningRate; }
  double live_share(std::string_view name) const override;
  bool trains(std::string_view name) const override { return name.ends_with(".bias"); }
  bool reaches_inside(const Site&) const override { return false; }
  bool merge_into(Model&) override { return true; }
};

// All weights and biases of norms.                                                (Zhao et al. 2024, section 3)
class LayerNormTuning : public Tuner {
 public:
  static TunerMaker read(OptionReader&);
  std::string method() const override { return "layer_norm"; }
  OptionMap options() const override { return {}; }
  static constexpr double kLearningRate = 1e-3;
  double default_learning_rate() const override { return kLearningRate; }
  bool trains(std::string_view name) const override;
  bool reaches_inside(const Site&) const override { return false; }
  bool merge_into(Model&) override { return true; }
};

}  // namespace cambium
