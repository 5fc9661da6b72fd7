// Running the tape backwards, adding gradients, and recomputation.
#include "autograd/tape.h"

#include <cxxabi.h>

#include <cstdlib>

#include "core/kernels/elementwise.h"

namespace cambium {

int Tape::new_slot() {
  gradients_.emplace_back();
  return int(gradients_.size()) - 1;
}

void Tape::backward(const Var& root, Tensor seed) {
  CHECK(root.tape == this && root.wants_gradient(), "backward from a value that depends on nothing that trains");
  CHECK(seed.shape() == root.shape(), "backward: seed ", seed.shape(), " for a value ", root.shape());
  add(root.slot, std::move(seed));
  run_down_to(0);
}

void Tape::backward(std::span<const Var> roots, const Tensor& seed) {
  for (const Var& root : roots) {
    if (!root.wants_gradient()) continue;
    CHECK(root.tape == this && seed.shape() == root.shape(), "backward: seed ", seed.shape(), " for a value ",
          root.shape());
    add(root.slot, seed);
  }
  run_down_to(0);
}

void Tape::run_down_to(size_t mark) {
  while (nodes_.size() > mark) {
    const std::unique_ptr<Node> node = std::move(nodes_.back());
    nodes_.pop_back();
    node->backward(*this);
  }
}

void Tape::add(int slot, Tensor gradient) {
  CHECK(slot >= 0, "a gradient for an input that wants none");
  Tensor& sum = gradients_[size_t(slot)];
  if (!sum) {
    sum = std::move(gradient);
    return;
  }
  CHECK(sum.size() == gradient.size(), "gradients of one value: ", sum.shape(), " and ", gradient.shape());
  if (!sum.unique()) sum = sum.clone();
  DISPATCH(add_scaled, sum.stream())(sum.stream(), sum, gradient.reshape(sum.shape()), 1.f, sum);
}

Tensor Tape::gradient(const Var& leaf) const {
  const Tensor& sum = gradients_[size_t(leaf.slot)];
  return sum ? sum.reshape(leaf.shape()) : sum;
}

void Tape::add_rows(int slot, int64_t begin, const Tensor& gradient, const Shape& whole) {
  CHECK(slot >= 0, "a gradient for an input that wants none");
  Tensor& sum = gradients_[size_t(slot)];
  if (!sum) sum = Tensor::zeros(whole, gradient.dtype(), gradient.device());
  else if (!sum.unique()) sum = sum.clone();
  const Tensor rows = sum.rows(begin, begin + gradient.shape()[0]);
  DISPATCH(add_scaled, sum.stream())(sum.stream(), rows, gradient, 1.f, rows);
}

// Stands for everything that fn recorded. Its backward records it again and runs that part of the tape.
struct Tape::Replay final : Tape::Node {
  std::function<Var()> fn;
  int output;

  Replay(std::function<Var()> fn, int output) : fn(std::move(fn)), output(output) {}

  void backward(Tape& tape) override {
    Tensor dy = tape.take_gradient(output);
    if (!dy) return;
    const size_t mark = tape.nodes_.size();
    const Var y = fn();
    CHECK(y.wants_gradient(), "recompute: the second run gave a constant");
    tape.add(y.slot, std::move(dy));
    tape.run_down_to(mark);
  }
  std::string describe() const override { return "recompute"; }
  std::vector<Tensor> saved() const override { return {}; }
};

Var Tape::recompute(std::function<Var()> fn) {
  const size_t mark = nodes_.size();
  Var y = fn();
  if (!y.wants_gradient() || nodes_.size() == mark) return y;
  nodes_.resize(mark);
  record(std::make_unique<Replay>(std::move(fn), y.slot));
  return y;
}

std::string Tape::print() const {
  std::string lines;
  for (const auto& node : nodes_) {
    int64_t bytes = 0;
    for (const Tensor& t : node->saved()) bytes += t.bytes();
    lines += text(node->describe(), ", ", (bytes + 1023) >> 10, " KiB saved\n");
  }
  return lines;
}

std::vector<Tensor> Tape::saved_tensors() const {
  std::vector<Tensor> all;
  for (const auto& node : nodes_)
    for (Tensor& t : node->saved()) all.push_back(std::move(t));
  return all;
}

std::string readable_type_name(const char* mangled) {
  int status = 0;
  char* name = abi::__cxa_demangle(mangled, nullptr, nullptr, &status);
  std::string result = status == 0 ? name : mangled;
  std::free(name);
  const size_t colon = result.rfind("::");
  return colon == std::string::npos ? result : result.substr(colon + 2);
}

}  // namespace cambium
