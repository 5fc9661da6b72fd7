// LoRA: y = W x + (alpha / rank) B A x, with W frozen.                        (Hu et al. 2022, section 4.1)
#pragma once

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
  };

  // A ~ U(-1/sqrt(in), 1/sqrt(in)) (Kaiming, a = sqrt 5), B = 0: the base's outputs are unchanged at first.
  Lora(const Options&, const TunerContext&);

  std::string method() const override { return "lora"; }
  OptionMap options() const override;
  std::vector<NamedParameter> parameters() override;
  static constexpr double kLearningRate = 1e-3;
  double default_learning_rate() const override { return kLearningRate; }
  double effective_scale() const override { return options_.alpha / double(options_.rank); }
  bool merge_into(Model&) override;

  bool inside(const Site&) const override;
  Var projected(Pass&, const Projection&, const Var& x, Var y, const Layout&) override;

 private:
  // One adapted matrix: rows [begin, end) of a product's weight.
  struct Adapted {
    std::string name;  // "decoder.layers.0.self_attention.query"
    Parameter* weight;
    int64_t begin, end;
    Parameter a, b;  // [rank, in], [end - begin, rank]
  };
  void adapt(const Site&, Dense&, const TunerContext&);
  Var add_group(const Pass&, std::span<const Adapted>, const Var& x, Var y) const;

  Options options_;
  std::map<std::pair<Site, std::string>, std::vector<Adapted>> adapted_;  // by site and first part of the product
};

}  // namespace cambium
