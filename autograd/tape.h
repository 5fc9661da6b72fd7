// The tape: records what ops did, and runs their gradients in reverse.
//
// A Var without a slot is a constant: it costs nothing. An op is a struct with
//   struct Saved { ... };
//   Tensor forward(Saved&, Needs<N>, const Tensor&... inputs) const;     // or std::array<Tensor, M>
//   void backward(const Saved&, Tensor dy, Grads<N>) const;              // or std::array<Tensor, M>
// and learns in forward which inputs want a gradient, so that it saves only what those gradients read.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>
#include <vector>

#include "autograd/fields.h"
#include "core/tensor.h"

namespace cambium {

class Tape;

struct Var {
  Tensor value;
  Tape* tape = nullptr;
  int slot = -1;  // below 0: a constant

  Var() = default;
  Var(Tensor value) : value(std::move(value)) {}  // a constant
  Var(Tensor value, Tape* tape, int slot) : value(std::move(value)), tape(tape), slot(slot) {}

  bool wants_gradient() const { return slot >= 0; }
  // The same numbers under another shape.
  Var reshape(const Shape& shape) const { return {value.reshape(shape), tape, slot}; }
  explicit operator bool() const { return bool(value); }
  const Shape& shape() const { return value.shape(); }
};

// Which inputs of an op want a gradient.
template <size_t N>
using Needs = std::array<bool, N>;

// Where an op's backward puts its gradients.
template <size_t N>
class Grads {
 public:
  Grads(Tape& tape, const std::array<int, N>& slots) : tape_(tape), slots_(slots) {}
  bool needs(int input) const { return slots_[size_t(input)] >= 0; }
  // The gradient for an input, of the input's shape and in its accumulator type. Moved in where it is the
  // first; later ones are added in place.
  void add(int input, Tensor gradient);
  // The gradient for rows [begin, begin + gradient's first dimension) of an input of shape `whole`.
  void add_rows(int input, int64_t begin, const Tensor& gradient, const Shape& whole);

 private:
  Tape& tape_;
  const std::array<int, N>& slots_;
};

class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // A variable whose gradient is wanted.
  Var leaf(Tensor value) { return {std::move(value), this, new_slot()}; }

  // Runs everything recorded, last to first; `seed` is the gradient of `root`. Nodes die as they are run.
  void backward(const Var& root, Tensor seed);
  // From several values at once; those that depend on nothing that trains count nothing. seed: of each, in its shape.
  void backward(std::span<const Var> roots, const Tensor& seed);
  // The gradient of a leaf after backward, in its shape; none if nothing reached it.
  Tensor gradient(const Var& leaf) const;

  // Calls fn(inputs...) and keeps nothing of it but its inputs; backward calls fn again. fn must compute the
  // same values both times. (Chen et al. 2016, "Training deep nets with sublinear memory cost")
  Var recompute(std::function<Var()> fn);

  size_t size() const { return nodes_.size(); }
  // Op, shapes and bytes that are alive because of each node.
  std::string print() const;

  // What is alive because of the tape; for print and for tests.
  std::vector<Tensor> saved_tensors() const;

  // Used by ops.
  struct Node {
    virtual ~Node() = default;
    virtual void backward(Tape&) = 0;
    virtual std::string describe() const = 0;
    virtual std::vector<Tensor> saved() const = 0;
  };
  int new_slot();
  void record(std::unique_ptr<Node> node) { nodes_.push_back(std::move(node)); }
  Tensor take_gradient(int slot) { return std::move(gradients_[size_t(slot)]); }
  void add(int slot, Tensor gradient);
  void add_rows(int slot, int64_t begin, const Tensor& gradient, const Shape& whole);

 private:
  struct Replay;
  void run_down_to(size_t mark);

  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<Tensor> gradients_;
};

template <size_t N>
void Grads<N>::add(int input, Tensor gradient) {
  tape_.add(slots_[size_t(input)], std::move(gradient));
}

template <size_t N>
void Grads<N>::add_rows(int input, int64_t begin, const Tensor& gradient, const Shape& whole) {
  tape_.add_rows(slots_[size_t(input)], begin, gradient, whole);
}

std::string readable_type_name(const char* mangled);

namespace detail {

inline std::array<Tensor, 1> as_array(Tensor t) { return {std::move(t)}; }
template <size_t M>
std::array<Tensor, M> as_array(std::array<Tensor, M> t) {
  return t;
}

template <class Op, size_t N, size_t M>
struct OpNode final : Tape::Node {
  Op op;
  typename Op::Saved saved_;
  std::array<int, N> inputs;
  std::array<int, M> outputs;
  std::array<Shape, M> shapes;  // of the outputs

  OpNode(Op op, typename Op::Saved saved, std::array<int, N> inputs, std::array<int, M> outputs,
         std::array<Shape, M> shapes)
      : op(std::move(op)), saved_(std::move(saved)), inputs(inputs), outputs(outputs), shapes(shapes) {}

  void backward(Tape& tape) override {
    std::array<Tensor, M> dy;
    bool any = false;
    for (size_t i = 0; i < M; ++i)
      if ((dy[i] = tape.take_gradient(outputs[i]))) any = true, dy[i] = std::move(dy[i]).reshape(shapes[i]);
    if (!any) return;
    if constexpr (M == 1) op.backward(saved_, std::move(dy[0]), Grads<N>(tape, inputs));
    else op.backward(saved_, std::move(dy), Grads<N>(tape, inputs));
  }
  std::string describe() const override { return text(readable_type_name(typeid(Op).name()), " -> ", shapes[0]); }
  std::vector<Tensor> saved() const override { return tensors_of(saved_); }
};

}  // namespace detail

// Runs an op forward, and records it if any input wants a gradient. Returns a Var, or an array of them for an
// op with several outputs. Inputs may be empty.
template <class Op, class... Vars>
auto apply(Op op, const Vars&... inputs) {
  constexpr size_t N = sizeof...(Vars);
  const std::array<int, N> slots{inputs.slot...};
  const Needs<N> needs{inputs.wants_gradient()...};
  Tape* tape = nullptr;
  ((tape = inputs.wants_gradient() ? inputs.tape : tape), ...);

  typename Op::Saved saved{};
  auto result = op.forward(saved, needs, inputs.value...);
  constexpr bool kSingle = std::is_same_v<decltype(result), Tensor>;
  auto values = detail::as_array(std::move(result));
  constexpr size_t M = std::tuple_size_v<decltype(values)>;

  std::array<Var, M> outputs;
  std::array<int, M> out_slots{};
  std::array<Shape, M> shapes;
  for (size_t i = 0; i < M; ++i) {
    shapes[i] = values[i].shape();
    out_slots[i] = tape ? tape->new_slot() : -1;
    outputs[i] = tape ? Var(values[i], tape, out_slots[i]) : Var(values[i]);
  }
  if (tape)
    tape->record(std::make_unique<detail::OpNode<Op, N, M>>(std::move(op), std::move(saved), slots, out_slots, shapes));
  if constexpr (kSingle) return std::move(outputs[0]);
  else return outputs;
}

}  // namespace cambium
