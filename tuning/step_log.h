// What training steps did, kept on their device until the host asks, so that it need not wait for each step.
#pragma once

#include <vector>

#include "core/tensor.h"

namespace cambium {

// The square root of the sum of all squares, and the first tensor with a value that is not finite (else -1).
struct GradientNorm {
  double norm = 0;
  int64_t not_finite = -1;
};

struct StepFacts {
  double loss = 0;
  GradientNorm gradient;
  bool finite() const;
};

class StepLog {
 public:
  // capacity: steps between two calls of take(), at most.
  StepLog(Device, int64_t capacity);

  // Judges the next step: losses of its parts [parts], float32 or float64, or none; gradients, of which absent ones
  // count nothing; clip: largest norm of the gradients, 0: off. (core/kernels/optimizer.h)
  void add(const Tensor& losses, const std::vector<Tensor>& gradients, double clip);
  // What the judgement says to the update, for Optimizer::step. From the first step on that is not finite, it forbids
  // it.
  const Tensor& gate() const { return gate_; }
  // Waits for the steps since the last call.
  std::vector<StepFacts> take();

 private:
  Tensor gate_, reports_;  // float64 [2], [capacity, 3]
  int64_t count_ = 0;
};

// Waits for it.
GradientNorm gradient_norm(const std::vector<Tensor>& gradients);

}  // namespace cambium
