// (IA)3: learned factors of keys, values and what the feed-forward layer's second product reads.
//                                                                              (Liu et al. 2022, section 3.3)
#pragma once

#include "tuning/options.h"
#include "tuning/sites.h"
#include "tuning/tuner.h"

namespace cambium {

// k = l_k (W_k x + b),  v = l_v (W_v x + b),  h = W_down (l_ff a) + b, element by element, in every layer, in
// cross-attention too. Factors start at 1: the base's outputs keep their bits. Where keys and values are one product with
// the queries (GPT-2) only they are scaled (PEFT scales all three of c_attn).
class Ia3 : public Tuner {
 public:
  struct Options {
    std::vector<std::string> targets = {"key", "value", "down"};
    // Of these targets the input is scaled, of all others what they give. (PEFT's feedforward_modules; of BERT it has
    // attention's output among them.)
    std::vector<std::string> inputs = {"down"};
  };
  static TunerMaker read(OptionReader&);
  Ia3(const Options&, const TunerContext&);

  std::string method() const override { return "ia3"; }
  OptionMap options() const override;
  std::vector<NamedParameter> parameters() override;
  static constexpr double kLearningRate = 3e-3;
  double default_learning_rate() const override { return kLearningRate; }
  double live_share(std::string_view name) const override;
  bool merge_into(Model&) override;
  bool unmerge_from(Model&) override;

  bool reaches_inside(const Site&) const override;
  Var input(Pass&, const Projection&, Var x, const Layout&) override;
  Var projected(Pass&, const Projection&, const Var& x, Var y, const Layout&) override;

 private:
  struct Scaled {
    Target target;
    Parameter factor;  // [in] where the input is scaled, else [end - begin]
  };
  bool of_input(const Scaled& s) const { return selects(options_.inputs, s.target.name()); }
  void scale_base(bool undo);
  Var scaled(Pass&, const Projection&, Var, bool of_input) const;

  Options options_;
  AtProducts<Scaled> scaled_;
};

}  // namespace cambium
