// One batch for several tuners: each sequence is treated by its own, or by none, and the frozen base runs once over
// all. (Su et al. 2022 and Li & Liang 2021, section 8, promise it; here tuners of all kinds mix.)
//
// Sequence::tuner is the number of its tuner, below 0: none. Wherever the model calls a hook, neighbouring sequences of
// one tuner are a slice of rows; the tuner sees it as a batch of its own, and the answers are joined in the order of
// the batch. A row's bits depend on no other row, so those of a mixed batch are those of the single ones. Gradients of
// a tuner are sums over its rows: they have the single run's bits where its sequences stand together, in its order
// (by_tuner).
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "tuning/tuner.h"

namespace cambium {

// Whether a tuner trains parameters of the base.
bool changes_base(const Tuner&, Model&);

// The numbers of a batch's sequences, those of one tuner together, otherwise in their order.
std::vector<size_t> by_tuner(const Batch&);

class Mixture : public Hooks {
 public:
  // Tuners number 0, 1, ...; they outlive the mixture. Of several none may change the base itself: what one trains all
  // sequences would see. Throws InputError naming the first that does.
  Mixture(std::span<Tuner* const> tuners, Model&);

  // Throws InputError where a sequence names a tuner that is not there, or none although a tuner changes the base.
  void check(const Batch&) const;
  // The same of one sequence's tuner; `who` names the sequence.
  void check_tuner_of(const std::string& who, int tuner) const;

  void embedded(Pass&, StackKind, Var& rows, Layout&) override;
  int64_t virtual_tokens(StackKind, int tuner) const override;
  int64_t position_shift(StackKind, int tuner) const override;
  Var layer_input(Pass&, StackKind, int layer, Var x, const Layout&) override;
  Var input(Pass&, const Projection&, Var x, const Layout&) override;
  Var projected(Pass&, const Projection&, const Var& x, Var y, const Layout&) override;
  PrefixRows prefix(Pass&, const Site&, const Layout&) override;
  bool reaches_inside(const Site&) const override;
  Var hidden(Pass&, const Site&, Var a, const Layout&) override;
  Var after(Pass&, const Site&, const Sublayer&, Var h, const Layout&) override;
  bool trains(std::string_view name) const override;

 private:
  // A slice of the batch in the hands of its tuner.
  struct Part {
    Hooks& hooks;
    const Layout& layout;
    int64_t begin, end;  // its rows

    Var of(const Var& x) const;  // those of x
  };
  // x with each tuner's rows as `treat` returns them; x itself where no tuner changes anything.
  Var each(const Layout&, const Var& x, const std::function<Var(const Part&, Var)>& treat);
  Hooks* hooks(int tuner) const;  // null: none

  std::vector<Tuner*> tuners_;
  bool changes_base_ = false;
};

}  // namespace cambium
