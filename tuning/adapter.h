// Adapters: a small bottleneck beside or behind a sublayer.
#pragma once

#include "core/kernels/activation.h"
#include "tuning/tuner.h"

namespace cambium {

// houlsby: h + up(gelu(down(h))) behind every sublayer (Houlsby et al. 2019, section 2.1); pfeiffer: the same with ReLU
// behind feed-forward layers only (Pfeiffer et al. 2021); parallel: h + 4 up(relu(down(x))) beside feed-forward layers,
// x their input (He et al. 2022, section 4.6). Down: N(0, 0.01), up: 0, biases 0: at first nothing changes.
class Adapter : public Tuner {
 public:
  struct Options {
    int64_t bottleneck = 64;
    std::string kind = "houlsby";
  };

  Adapter(const Options&, const TunerContext&);

  std::string method() const override { return "adapter"; }
  OptionMap options() const override;
  std::vector<NamedParameter> parameters() override;
  static constexpr double kLearningRate = 1e-3;
  double default_learning_rate() const override { return kLearningRate; }
  double live_share(std::string_view name) const override;
  double effective_scale() const override { return options_.kind == "parallel" ? 4 : 1; }

  Var after(Pass&, const Site&, const Var& x, Var h, const Layout&) override;

 private:
  struct Module {
    Parameter down, down_bias, up, up_bias;  // [b, width], [b], [width, b], [width]
  };
  Options options_;
  std::map<Site, Module> modules_;
};

}  // namespace cambium
