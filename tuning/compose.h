// Several tuners on the same rows, one after the other.                       (He et al. 2022, section 4; Mao et al. 2022)
#pragma once

#include "tuning/options.h"
#include "tuning/tuner.h"

namespace cambium {

// At every site the children act in their order, each on what the one before it left. Parameters carry the child's number
// ("0.decoder.layers.0...."), options its method's name ("lora.rank"), or its number where two have one name. All learn at
// the run's rate; where none is given it is the smallest of theirs.
//
// Refused are children that train the same parameter of the base, two that insert virtual tokens, and two that put keys
// and values before the same attention.
class Compose : public Tuner {
 public:
  // Reads "lora+adapter" and its options, or those of a recipe: names joined by "+", and options that stand where none
  // is given.
  static TunerMaker read(OptionReader&, const std::string& names, const OptionMap& defaults = {});
  // MAM: prefixes of 30 rows, and parallel adapters of 512.                             (He et al. 2022, section 4.6)
  static TunerMaker read_mam(OptionReader&);
  static constexpr double kMamLearningRate = 1e-3;

  struct Child {
    std::string key;  // of its options
    std::unique_ptr<Tuner> tuner;
  };
  Compose(std::string method, std::vector<Child>, Model&);
  const std::vector<Child>& children() const { return children_; }

  std::string method() const override { return method_; }
  OptionMap options() const override;
  std::vector<NamedParameter> parameters() override;
  double default_learning_rate() const override;
  double rate_factor(std::string_view name) const override;
  double live_share(std::string_view name) const override;
  bool draws() const override;
  // In order; false where a child cannot. Children that change the same matrix may not commute: compare logits.
  bool merge_into(Model&) override;
  bool unmerge_from(Model&) override;  // the last one first

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
  void check_base(Model&) const;
  // The child that a parameter belongs to, and its name there; of the base's the child that trains it.
  std::pair<const Tuner*, std::string_view> owner(std::string_view name) const;

  std::string method_;
  std::vector<Child> children_;
};

// The learning rate of "lora+adapter": the smallest of its methods'.
double composed_learning_rate(const std::string& names);

}  // namespace cambium
