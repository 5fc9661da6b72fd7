// Steps as CUDA graphs: what a step would launch one by one is recorded and launched as one.
//
// A step's arguments change (lengths, random keys, places in memory), so it is recorded each time; a graph is made
// ready for launching once for each capacity (cuda/capacity.h) and then only gets the new arguments, which takes a
// fraction of the time that the launches would. Recorded and launched one by one a step does the same, bit for bit.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "core/view.h"
#include "cuda/capacity.h"

namespace cambium::gpu {

// Off at first.
void use_graphs(bool);

class StepGraphs {
 public:
  explicit StepGraphs(Device);
  ~StepGraphs();
  StepGraphs(const StepGraphs&) = delete;
  StepGraphs& operator=(const StepGraphs&) = delete;

  // Runs `step`, whose work goes to the device's compute queue and which waits for none of it. The first step of a
  // capacity is not recorded: libraries choose their algorithms then. Nothing is recorded while graphs are off, or on
  // the CPU.
  void run(int64_t sequences, int64_t rows, const std::function<void()>& step);

  struct Counts {
    int64_t direct = 0, made = 0, updated = 0;  // steps that were not recorded, got a new graph, or an old one
  };
  const Counts& counts() const { return counts_; }

 private:
  struct Graph;
  struct State;

  Device device_;
  Counts counts_;
  std::map<Capacity, std::unique_ptr<Graph>> graphs_;
  std::unique_ptr<State> state_;
};

}  // namespace cambium::gpu
