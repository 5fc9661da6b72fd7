#include "cuda/graph.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "cuda/check.h"
#include "cuda/recording.h"

namespace cambium::gpu {
namespace {

std::atomic<bool> graphs_on = false;
thread_local Recording* recording = nullptr;

}  // namespace

void use_graphs(bool on) { graphs_on = on; }

// ---- what a recording keeps ----

Recording* Recording::current() { return recording; }
void Recording::set_current(Recording* r) { recording = r; }

const void* Recording::keep(const void* from, size_t bytes) {
  constexpr size_t kPage = 1 << 20, kAlignment = 64;
  const auto fits = [&] { return page_ < pages_.size() && used_ + bytes <= pages_[page_]->bytes(); };
  while (!fits() && page_ < pages_.size()) ++page_, used_ = 0;
  if (!fits()) pages_.push_back(std::make_unique<PinnedBuffer>(std::max(kPage, bytes)));
  char* to = static_cast<char*>(pages_[page_]->data()) + used_;
  std::memcpy(to, from, bytes);
  used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
  return to;
}

void Recording::reset() {
  page_ = used_ = 0;
  for (void* block : std::exchange(released_, {})) cudaFree(block);
  held_.clear();
}

// ---- graphs ----

struct StepGraphs::Graph {
  cudaGraphExec_t ready = nullptr;

  ~Graph() {
    if (ready) cudaGraphExecDestroy(ready);
  }
};

// Two recordings take turns, so that a step is recorded while the one before runs.
struct StepGraphs::State {
  struct Turn {
    Recording recording;
    Event done;
    explicit Turn(Device d) : done(d) {}
  };
  std::array<Turn, 2> turns;
  size_t next = 0;

  explicit State(Device d) : turns{Turn(d), Turn(d)} {}
};

StepGraphs::StepGraphs(Device device) : device_(device) {}

StepGraphs::~StepGraphs() {
  if (!state_) return;
  for (State::Turn& turn : state_->turns) try {
      turn.done.synchronize();
    } catch (const Error&) {  // said before, by the step
    }
}

namespace {

// A stream that records; gives the graph, or, left by an exception, throws it away.
class Capture {
 public:
  Capture(Stream& stream, Recording& keeps) : stream_(static_cast<cudaStream_t>(stream.handle)) {
    // Relaxed: other threads, and allocations, do as they like.
    CUDA_CHECK(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed));
    Recording::set_current(&keeps);
  }
  ~Capture() {
    Recording::set_current(nullptr);
    if (!ended_) {
      cudaGraph_t graph = nullptr;
      cudaStreamEndCapture(stream_, &graph);
      if (graph) cudaGraphDestroy(graph);
      cudaGetLastError();  // what ended it is being said
    }
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  auto end() {
    cudaGraph_t graph = nullptr;
    ended_ = true;
    CUDA_CHECK(cudaStreamEndCapture(stream_, &graph));
    return std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, decltype(&cudaGraphDestroy)>(graph, &cudaGraphDestroy);
  }

 private:
  cudaStream_t stream_;
  bool ended_ = false;
};

// Gives `ready` the arguments of `graph`. False: they differ in more than arguments.
bool update(cudaGraphExec_t ready, cudaGraph_t graph) {
  cudaGraphExecUpdateResultInfo result{};
  const cudaError_t error = cudaGraphExecUpdate(ready, graph, &result);
  if (error == cudaErrorGraphExecUpdateFailure) return cudaGetLastError(), false;
  CUDA_CHECK(error);
  return true;
}

}  // namespace

void StepGraphs::run(int64_t sequences, int64_t rows, const std::function<void()>& step) {
  if (!graphs_on || !device_.is_gpu() || recording) return step();
  auto [found, is_new] = graphs_.try_emplace(capacity_for(sequences, rows));
  if (is_new) {
    found->second = std::make_unique<Graph>();
    ++counts_.direct;
    return step();
  }
  CUDA_CHECK(cudaSetDevice(device_.index));
  if (!state_) state_ = std::make_unique<State>(device_);
  State::Turn& turn = state_->turns[state_->next++ % 2];
  turn.done.synchronize();
  turn.recording.reset();
  Stream& stream = gpu::stream(device_, Queue::compute);
  Capture capture(stream, turn.recording);
  step();
  const auto graph = capture.end();
  Recording::set_current(nullptr);
  Graph& g = *found->second;
  if (g.ready && update(g.ready, graph.get())) {
    ++counts_.updated;
  } else {
    if (g.ready) CUDA_CHECK(cudaGraphExecDestroy(std::exchange(g.ready, nullptr)));
    CUDA_CHECK(cudaGraphInstantiate(&g.ready, graph.get(), 0));
    ++counts_.made;
  }
  CUDA_CHECK(cudaGraphLaunch(g.ready, static_cast<cudaStream_t>(stream.handle)));
  turn.done.record(stream);
}

}  // namespace cambium::gpu
