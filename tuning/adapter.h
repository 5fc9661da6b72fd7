// Adapters: a small bottleneck beside or behind a sublayer.
#pragma once

#include "core/kernels/activation.h"
#include "tuning/options.h"
#include "tuning/tuner.h"

namespace cambium {

// A sublayer gives the residual stream x its result h. With an adapter it gives
//   h + s up(f(down(r)))                                      down [b, width], up [width, b], both with biases
// kind      sites                  r, what is read                                 f     s  down starts as
// houlsby   every sublayer         h                                               GELU  1  N(0, 0.01)
// pfeiffer  feed-forward layers    what the stream would be without it:            ReLU  1  N(0, 0.01)
//                                  x + h, or norm(x + h) where norms come last
// parallel  feed-forward layers    what they read: norm(x), or x                   ReLU  4  U(-1/sqrt(width), ..)
// lin       feed-forward layers    norm'(x + h), norm' the adapter's own           ReLU  1  N(0, 0.01)
// Up and biases start at 0, so that at first nothing changes.
//
// houlsby (Houlsby et al. 2019, section 2.1, figure 2) is at the paper's place, behind the sublayer's dropout and
// before the sum. It differs: the paper trains the norms and the classification head along (norms=1; a head trains
// wherever the objective has one), starts up near 0 too (truncated normal, 0.01; the authors' program: 0.001), and its
// GELU is the tanh form (activation=gelu_tanh). Cross-attention, which the paper's encoder has not, gets one as well
// (cross=0: none, as in AdapterHub). pfeiffer (Pfeiffer et al. 2021) computes what AdapterHub's seq_bn does
// (original_ln_before, residual_before_ln), whose down and up both start as N(0, 0.02). parallel (He et al. 2022,
// section 4.6) starts as the paper's does (Kaiming, a = sqrt 5). In models whose norms come first AdapterHub reads x
// before the norm (reads=residual), the paper's equation the layer's input.
// lin (Lin et al. 2020, section 3.1; the adapter of Li & Liang's tables) is one a layer, behind the feed-forward layer's sum,
// with a LayerNorm of its own (weight 1, bias 0 at first). Where norms come last it stands before the model's norm of that
// sum, and reads what that norm gives.
class Adapter : public Tuner {
 public:
  struct Options {
    int64_t bottleneck = 64;
    std::string kind = "houlsby";
    // Empty: as the kind says.
    std::string activation;  // relu, gelu, gelu_tanh, silu or tanh
    std::string reads;       // output: h; sum: the stream behind the sublayer; input: what it read; residual: x
    bool norms = false;      // the base's norms train too
    bool cross = true;       // houlsby: one behind cross-attention
    std::string layers;      // of each stack: numbers and ranges ("0,4-11"); empty: all
  };

  static TunerMaker read(OptionReader&);
  // With what is empty as the kind says.
  static Options completed(Options);

  Adapter(const Options&, const TunerContext&);

  std::string method() const override { return "adapter"; }
  OptionMap options() const override;
  std::vector<NamedParameter> parameters() override;
  static constexpr double kLearningRate = 1e-3;
  double default_learning_rate() const override { return kLearningRate; }
  double live_share(std::string_view name) const override;
  double effective_scale() const override { return options_.kind == "parallel" ? 4 : 1; }

  Var after(Pass&, const Site&, const Sublayer&, Var h, const Layout&) override;
  bool reaches_inside(const Site&) const override { return false; }
  bool trains(std::string_view name) const override;

 private:
  struct Module {
    Parameter down, down_bias, up, up_bias;  // [b, width], [b], [width, b], [width]
    Parameter norm, norm_bias;               // lin: [width]
  };
  Options options_;
  Activation activation_;
  std::map<Site, Module> modules_;
};

}  // namespace cambium
