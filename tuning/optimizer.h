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

// Tensors with `part` in their names learn at `factor` times the rate.
struct RateFactor {
  std::string part;
  double factor = 1;
  bool operator==(const RateFactor&) const = default;
};

struct OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0, momentum = 0;
  // Adafactor; see core/kernels/optimizer.h.
  double decay_rate = 0.8, clip = 1, epsilon1 = 1e-30, epsilon2 = 1e-3;
  int64_t initial_step = 0, factor_min_dim = 128;
  bool scale_by_parameter = false, decay_times_lr = false;
  // Groups of tensors, by parts of their names (Trained::name): which do not decay ("bias", "norm": what transformers'
  // Trainer exempts), and which have rates of their own ("lora_b"; the first that fits counts).
  std::vector<std::string> no_decay = {};
  std::vector<RateFactor> rate_factors = {};
};

class Optimizer {
 public:
  // Throws InputError where a rate of its own fits no tensor.
  Optimizer(const OptimizerOptions&, std::vector<Trained>);
  virtual ~Optimizer() = default;

  // One update with the learning rate lr from gradients, one a trained tensor, in their order; a tensor without a
  // gradient is left alone, and does not count the step. gate: the gradients' factor, and whether there is an update at all, on the device
  // (core/kernels/optimizer.h); none: as they are.
  virtual void step(double lr, const Tensor& gate, const std::vector<Tensor>& gradients) = 0;
  // State tensors under the trained tensor's name and a suffix, for checkpoints; the step counter is `steps`.
  virtual std::vector<std::pair<std::string, Tensor>> state() const = 0;

  int64_t steps = 0;
  // Of each trained tensor how many of them it had no gradient in.
  std::vector<int64_t> missed;
  const std::vector<Trained>& trained() const { return trained_; }

 protected:
  // Tensors that are updated alike.
  struct Group {
    double rate = 1;  // times the learning rate
    double decay = 0;
    std::vector<size_t> tensors;  // numbers in trained_
  };
  // Counts a step. Of each group those tensors that have a gradient, in lists of as many steps of their own.
  struct Update {
    const Group* group;
    int64_t steps;
    std::vector<size_t> tensors;
  };
  std::vector<Update> count_step(const std::vector<Tensor>& gradients);
  OptimizerOptions options_;
  std::vector<Trained> trained_;
  std::vector<Group> groups_;  // every tensor is in one
};

// "adamw", "sgd" or "adafactor".
std::unique_ptr<Optimizer> make_optimizer(const std::string& name, const OptimizerOptions&, std::vector<Trained>);

class AdamWOptimizer : public Optimizer {
 public:
  AdamWOptimizer(const OptimizerOptions&, std::vector<Trained>);
  void step(double lr, const Tensor& gate, const std::vector<Tensor>& gradients) override;
  std::vector<std::pair<std::string, Tensor>> state() const override;

 private:
  std::vector<Tensor> first_, second_;
};

class SgdOptimizer : public Optimizer {
 public:
  SgdOptimizer(const OptimizerOptions&, std::vector<Trained>);
  void step(double lr, const Tensor& gate, const std::vector<Tensor>& gradients) override;
  std::vector<std::pair<std::string, Tensor>> state() const override;

 private:
  std::vector<Tensor> momentum_;
};

class AdafactorOptimizer : public Optimizer {
 public:
  AdafactorOptimizer(const OptimizerOptions&, std::vector<Trained>);
  void step(double lr, const Tensor& gate, const std::vector<Tensor>& gradients) override;
  std::vector<std::pair<std::string, Tensor>> state() const override;

 private:
  std::vector<Tensor> rows_, columns_;
};

}  // namespace cambium
