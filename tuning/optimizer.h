// Optimizers: they keep state for a list of tensors that train and update them from their gradients.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/kernels/optimizer.h"
#include "core/tensor.h"

namespace cambium {

// A tensor that trains: float32 (float64 for tests). working: the bfloat16 copy that products use, or none.
struct Trained {
  std::string name;
  Tensor value, working;
};

struct OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0, momentum = 0;
  // Adafactor; see core/kernels/optimizer.h.
  double decay_rate = 0.8, clip = 1, epsilon1 = 1e-30, epsilon2 = 1e-3;
  int64_t initial_step = 0, factor_min_dim = 128;
  bool scale_by_parameter = false, decay_times_lr = false;
};

class Optimizer {
 public:
  explicit Optimizer(std::vector<Trained> trained) : trained_(std::move(trained)) {}
  virtual ~Optimizer() = default;

  // One update with the learning rate lr from gradients, one a trained tensor, in their order; a tensor without a
  // gradient is left alone. gate: the gradients' factor, and whether there is an update at all, on the device
  // (core/kernels/optimizer.h); none: as they are.
  virtual void step(double lr, const Tensor& gate, const std::vector<Tensor>& gradients) = 0;
  // State tensors under the trained tensor's name and a suffix, for checkpoints; the step counter is `steps`.
  virtual std::vector<std::pair<std::string, Tensor>> state() const = 0;

  int64_t steps = 0;
  const std::vector<Trained>& trained() const { return trained_; }

 protected:
  std::vector<Trained> trained_;
};

// "adamw", "sgd" or "adafactor".
std::unique_ptr<Optimizer> make_optimizer(const std::string& name, const OptimizerOptions&, std::vector<Trained>);

class AdamWOptimizer : public Optimizer {
 public:
  AdamWOptimizer(const OptimizerOptions&, std::vector<Trained>);
  void step(double lr, const Tensor& gate, const std::vector<Tensor>& gradients) override;
  std::vector<std::pair<std::string, Tensor>> state() const override;

 private:
  OptimizerOptions options_;
  std::vector<Tensor> first_, second_;
};

class SgdOptimizer : public Optimizer {
 public:
  SgdOptimizer(const OptimizerOptions&, std::vector<Trained>);
  void step(double lr, const Tensor& gate, const std::vector<Tensor>& gradients) override;
  std::vector<std::pair<std::string, Tensor>> state() const override;

 private:
  OptimizerOptions options_;
  std::vector<Tensor> momentum_;
};

class AdafactorOptimizer : public Optimizer {
 public:
  AdafactorOptimizer(const OptimizerOptions&, std::vector<Trained>);
  void step(double lr, const Tensor& gate, const std::vector<Tensor>& gradients) override;
  std::vector<std::pair<std::string, Tensor>> state() const override;

 private:
  OptimizerOptions options_;
  std::vector<Tensor> rows_, columns_;
};

}  // namespace cambium
