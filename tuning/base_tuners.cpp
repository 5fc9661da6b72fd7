#include "tuning/base_tuners.h"

#include <algorithm>

#include "tuning/sites.h"

namespace cambium {

namespace {

// Rows of tables change only where their token, position, bucket or label word occurs; in the other tensors some
// scalars may never see a gradient (a ReLU that is dark since pre-training), but most do.
double base_live_share(std::string_view name) {
  const auto has = [&](const char* part) { return name.find(part) != name.npos; };
  const bool table = name.starts_with("embedding.") || name == "head.weight" || name == "head.bias" ||
                     has("position.") || has("relative_bias.") || has("token_type.");
  return table ? 0 : 0.05;
}

}  // namespace

TunerMaker Full::read(OptionReader& o) {
  std::vector<std::string> only = split(o.word("only", ""));
  o.finish();
  std::erase(only, "");
  return [only](const TunerContext& context) { return std::make_unique<Full>(only, context); };
}

Full::Full(std::vector<std::string> only, const TunerContext& context) : only_(std::move(only)) {
  const std::vector<NamedParameter> all = context.model.parameters();
  for (const std::string& beginning : only_)
    check_input(
        std::any_of(all.begin(), all.end(), [&](const NamedParameter& p) { return p.name.starts_with(beginning); }),
        "full: only=", beginning, ": no parameter has a name that begins so");
}

OptionMap Full::options() const { return {{"only", listed(only_, ",")}}; }

bool Full::trains(std::string_view name) const {
  return only_.empty() || std::any_of(only_.begin(), only_.end(),
                                      [&](const std::string& beginning) { return name.starts_with(beginning); });
}

double Full::live_share(std::string_view name) const { return base_live_share(name); }
double TopLayers::live_share(std::string_view name) const { return base_live_share(name); }

TunerMaker TopLayers::read(OptionReader& o) {
  const int64_t layers = o.integer("layers", 2, 1, 1000);
  o.finish();
  return [layers](const TunerContext& context) { return std::make_unique<TopLayers>(layers, context); };
}

TopLayers::TopLayers(int64_t layers, const TunerContext& context) : layers_(layers) {
  const ModelConfig& c = context.model.config();
  const int64_t all = c.decoder.layers ? c.decoder.layers : c.encoder.layers;
  const std::string stack = c.decoder.layers ? "decoder." : "encoder.";
  check_input(layers <= all, "top_layers: layers=", layers, ", but the model has ", all);
  for (int64_t i = all - layers; i < all; ++i) prefixes_.push_back(stack + "layers." + std::to_string(i) + ".");
  prefixes_.push_back(stack + "final_norm.");
}

bool TopLayers::trains(std::string_view name) const {
  return std::any_of(prefixes_.begin(), prefixes_.end(), [&](const std::string& p) { return name.starts_with(p); });
}

TunerMaker BitFit::read(OptionReader& o) {
  o.finish();
  return [](const TunerContext& context) { return std::make_unique<BitFit>(context); };
}

BitFit::BitFit(const TunerContext& context) {
  const std::vector<NamedParameter> all = context.model.parameters();
  check_input(std::any_of(all.begin(), all.end(),
                          [&](const NamedParameter& p) {
                            return trains(p.name) && !p.parameter->buffer && !p.name.starts_with("classifier.");
                          }),
              "bitfit: a ", context.model.config().family,
              " model like this has no biases; layer_norm trains its norms, ia3 factors of its activations");
}

// A key's bias adds the same to all scores of a query: its gradient is zero but for rounding.
double BitFit::live_share(std::string_view name) const {
  if (name.ends_with(".key.bias")) return 0;
  return base_live_share(name);
}

TunerMaker LayerNormTuning::read(OptionReader& o) {
  o.finish();
  return [](const TunerContext&) { return std::make_unique<LayerNormTuning>(); };
}

bool LayerNormTuning::trains(std::string_view name) const { return is_of_norm(name); }

}  // namespace cambium
