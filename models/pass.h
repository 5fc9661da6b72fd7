// One run through a model: which parameters are variables, where random numbers come from, who listens.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <utility>

#include "autograd/ops/elementwise.h"
#include "autograd/tape.h"
#include "models/config.h"
#include "models/hooks.h"

namespace cambium {

class Pass {
 public:
  // Inference: nothing is recorded, nothing is dropped.
  explicit Pass(Hooks& hooks) : hooks_(hooks) {}
  // Training: gradients of the parameters given to `train` go to the tape.
  Pass(Hooks& hooks, Tape& tape) : hooks_(hooks), tape_(&tape) {}

  Hooks& hooks() { return hooks_; }
  bool training() const { return tape_ != nullptr; }
  Tape* tape() { return tape_; }

  void train(const Parameter& p) { leaves_.emplace(&p, tape_->leaf(p.value)); }
  // A parameter as a variable where it trains, else as a constant.
  Var operator()(const Parameter& p) const;
  // After backward: the gradient of a parameter given to `train`; none if nothing reached it.
  Tensor gradient(const Parameter& p) const { return tape_->gradient(leaves_.at(&p)); }

  // Dropout with the random numbers of (seed, step), off until this is called.
  void set_dropout(const DropoutRates& rates, uint64_t seed, uint64_t step);
  const DropoutRates& dropout() const { return rates_; }
  // Whether dropout was switched on, for tuners with rates of their own.
  bool drops() const { return drops_; }
  // The mask of a place; `place` is a name such as "decoder.layers.3.residual".
  DropoutConfig dropout_at(float probability, const std::string& place) const;
  // residual + dropout(x), or their sum where dropout is off; residual may be absent.
  Var drop_and_add(float probability, const std::string& place, Var x, const Var& residual, const Layout&) const;

  // What hooks computed once for the whole pass and use at several sites: whose, and its name.
  std::map<std::pair<const Hooks*, std::string>, Var> memo;

  // Keep only the inputs of each layer and compute the layer again in backward.
  bool recompute = false;
  // Activations and products in float32, whatever the weights' type: the same numbers on every machine up to
  // float rounding.
  bool exact = false;

 private:
  Hooks& hooks_;
  Tape* tape_ = nullptr;
  std::unordered_map<const Parameter*, Var> leaves_;
  DropoutRates rates_;
  bool drops_ = false;
  uint64_t seed_ = 0, step_ = 0;
};

}  // namespace cambium
