// What trains: a list that is fixed before step 1, of the tuner's own parameters and those of the base that it
// chose, and the checks on it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "tuning/objective.h"
#include "tuning/optimizer.h"
#include "tuning/tuner.h"

namespace cambium {

class TrainedSet {
 public:
  struct Entry {
    std::string name;
    bool of_base = false;
    Parameter* parameter = nullptr;
    int64_t begin = 0, end = 0;  // rows of it
    Tensor value;                // what the optimizer updates: float32 (float64)
    Tensor working;              // bfloat16 rows that products use, where value is their master
  };

  // master(name): the float32 source values of a base parameter that trains in bfloat16; if absent, its rounded ones
  // are taken. What the objective does not read does not train; what it brings along does. Throws InputError where
  // nothing trains.
  TrainedSet(Model&, Tuner&, const std::function<Tensor(const std::string&)>& master = {},
             const Objective& = GivenLabels());

  const std::vector<Entry>& entries() const { return entries_; }
  std::vector<Trained> for_optimizer() const;
  int64_t scalars() const;
  bool trains(const Parameter&) const;

  void enter(Pass&) const;
  // After backward, one an entry; none where nothing reached it.
  std::vector<Tensor> gradients(const Pass&) const;
  // Brings working copies in line with values that were just loaded.
  void refresh_working() const;

 private:
  std::vector<Entry> entries_;
};

// Watches that all that should train does: in step 1 a gradient reaches every tensor; after the last watched step every
// tensor has seen a non-zero gradient in at least the share of its scalars that the tuner declares.
class LivenessAudit {
 public:
  // last_step: the last watched one; 0: too few are run to see all gradients, so only that they arrive is checked.
  LivenessAudit(const TrainedSet&, const Tuner&, int64_t last_step);
  bool watches(int64_t step) const { return step <= std::max<int64_t>(1, last_step_); }
  // Throws Error naming the tensors that fail.
  void see(int64_t step, const std::vector<Tensor>& gradients);

 private:
  const TrainedSet& trained_;
  const Tuner& tuner_;
  int64_t last_step_;
  std::vector<std::vector<bool>> alive_;  // a sample of each tensor's scalars
};

// A sum over the bits of everything in the model that does not train: equal before and after, or something wrote there.
uint64_t frozen_checksum(Model&, const TrainedSet&);
// The same over all parameters for which `counts` is true.
uint64_t parameter_checksum(Model&, const std::function<bool(const NamedParameter&)>& counts);

// Adds up the gradients of shards 0, 1, 2, ... over a fixed binary tree, with as few sums alive as possible.
class GradientTree {
 public:
  void add(std::vector<Tensor> gradients);
  std::vector<Tensor> total();

 private:
  std::vector<std::pair<int64_t, std::vector<Tensor>>> partial_;  // (shards in it, sum), large to small
};

}  // namespace cambium
