// LoRA: y = W x + s B A x, with W frozen.                                     (Hu et al. 2022, section 4.1)
#pragma once

#include <cmath>

#include "tuning/options.h"
#include "tuning/sites.h"
#include "tuning/tuner.h"

namespace cambium {

class Lora : public Tuner {
 public:
  struct Options {
    int64_t rank = 8;
    double alpha = 16;
    double dropout = 0;  // of x before A, in training; every target has a mask of its own, as in PEFT (the paper's
                         // program shares one where query and value are one product)
    // Projections to adapt: query, key, value, output, gate, up, down; query_key_value adapts the three as one matrix
    // (what PEFT does to GPT-2's c_attn).
    std::vector<std::string> targets = {"query", "value"};
    bool rslora = false;    // s = alpha / sqrt(rank) instead of alpha / rank (Kalajdzievski 2023, eq. 4)
    double plus_ratio = 1;  // B learns at so many times the rate (LoRA+: Hayou et al. 2024; 16 in the paper)
    std::vector<ModuleNumber> rank_pattern, alpha_pattern;  // of single modules

    double scale(double alpha, int64_t rank) const { return alpha / divisor(rank); }
    // What alpha is divided by.
    double divisor(int64_t rank) const { return rslora ? std::sqrt(double(rank)) : double(rank); }
    // s of a module with this rank.
    double scale_of(const std::string& module, int64_t rank) const {
      return scale(number_for(alpha_pattern, module, alpha), rank);
    }
  };
  // W + s B A of a matrix, in the accumulator type, in fresh memory.
  static Tensor summed_weight(const Tensor& w, const Tensor& a, const Tensor& b, double scale);

  // Of `reader`, without finish().
  static Options read_options(OptionReader& reader);
  static TunerMaker read(OptionReader&);

  // A ~ U(-1/sqrt(in), 1/sqrt(in)) (Kaiming, a = sqrt 5), B = 0: the base's outputs are unchanged at first. method:
  // whose name errors carry.
  Lora(const Options&, const TunerContext&, const std::string& method = "lora");

  std::string method() const override { return "lora"; }
  OptionMap options() const override;
  std::vector<NamedParameter> parameters() override;
  static constexpr double kLearningRate = 1e-3;
  double default_learning_rate() const override { return kLearningRate; }
  double rate_factor(std::string_view name) const override;
  double effective_scale() const override { return options_.scale(options_.alpha, options_.rank); }
  bool draws() const override { return options_.dropout > 0; }
  bool merge_into(Model&) override { return add_to_base(1); }
  bool unmerge_from(Model&) override { return add_to_base(-1); }

  bool reaches_inside(const Site&) const override;
  Var projected(Pass&, const Projection&, const Var& x, Var y, const Layout&) override;

 protected:
  // One adapted matrix: rows [begin, end) of a product's weight.
  struct Adapted {
    Target target;
    std::string name;
    int64_t rank;
    double scale;
    Parameter a, b;  // [rank, in], [end - begin, rank]
  };

  AtProducts<Adapted> adapted_;

 private:
  bool add_to_base(double sign);
  Var add_group(const Pass&, std::span<const Adapted>, const Var& x, Var y) const;

  Options options_;
};

}  // namespace cambium
