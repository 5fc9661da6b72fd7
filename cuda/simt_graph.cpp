// The host twin of graphs: there is nothing to gain, so steps run as they are.
#include "cuda/graph.h"

namespace cambium::gpu {

struct StepGraphs::Graph {};
struct StepGraphs::State {};

void use_graphs(bool) {}

StepGraphs::StepGraphs(Device device) : device_(device) {}
StepGraphs::~StepGraphs() = default;

void StepGraphs::run(int64_t, int64_t, const std::function<void()>& step) {
  ++counts_.direct;
  step();
}

}  // namespace cambium::gpu
