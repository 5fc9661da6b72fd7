// VeRA: y = W x + b (B (d (A x))), with one random frozen pair A, B for all layers and learned vectors d and b.
//                                                                             (Kopiczko et al. 2024, eq. 2)
#pragma once

#include "tuning/options.h"
#include "tuning/sites.h"
#include "tuning/tuner.h"

namespace cambium {

// A [rank, widest input] and B [widest output, rank] are U(-sqrt(3 / in), sqrt(3 / in)) of their own inputs (Kaiming
// uniform with gain 1), from `seed` alone: they are not stored. A matrix that is smaller takes their first columns and rows
// (as PEFT does). d starts at 0.1 and b at 0: at first nothing changes.
//
// compat=peft: the pair that PEFT 0.21 draws from `seed` as its projection_prng_key, U(-sqrt(6 / in), sqrt(6 / in)) with
// the numbers of PyTorch's generator.
class Vera : public Tuner {
 public:
  struct Options {
    int64_t rank = 256;
    std::vector<std::string> targets = {"query", "value"};
    double initial = 0.1;  // of d
    int64_t seed = 0;      // of A and B
    double dropout = 0;    // of x, in training
    std::string compat;    // peft, or empty
  };
  static TunerMaker read(OptionReader&);
  Vera(const Options&, const TunerContext&);

  std::string method() const override { return "vera"; }
  OptionMap options() const override;
  std::vector<NamedParameter> parameters() override;
  // The frozen pair: A [rank, widest input], B [widest output, rank].
  const Tensor& projection_a() const { return a_.value; }
  const Tensor& projection_b() const { return b_.value; }
  static constexpr double kLearningRate = 5e-3;
  double default_learning_rate() const override { return kLearningRate; }
  bool merge_into(Model&) override { return add_to_base(1); }
  bool unmerge_from(Model&) override { return add_to_base(-1); }

  bool draws() const override { return options_.dropout > 0; }
  bool reaches_inside(const Site&) const override;
  Var projected(Pass&, const Projection&, const Var& x, Var y, const Layout&) override;

 private:
  struct Adapted {
    Target target;
    Tensor a;                    // its columns of A, [rank, in]
    Parameter inner, outer;      // d [rank], b [end - begin]
  };
  bool add_to_base(double sign);
  std::pair<Var, Var> scaled_pair(const Pass&, const Adapted&) const;

  Options options_;
  Parameter a_, b_;  // frozen
  AtProducts<Adapted> adapted_;
};

}  // namespace cambium
