// The table of methods: name, options, factory.
#include <functional>

#include "tuning/adapter.h"
#include "tuning/base_tuners.h"
#include "tuning/lora.h"
#include "tuning/options.h"
#include "tuning/prefix.h"
#include "tuning/prompt.h"

namespace cambium {
namespace {

constexpr int64_t kLongest = 1 << 20;

// What makes a tuner, once its options are read.
using Maker = std::function<std::unique_ptr<Tuner>(const TunerContext&)>;

Maker read_prompt(OptionReader& o) {
  Prompt::Options options;
  options.length = o.integer("length", options.length, 1, kLongest);
  options.init = o.choice("init", options.init, {"vocabulary", "random", "text", "labels", "file"});
  options.where = o.choice("where", options.where, {"", "encoder", "decoder", "both"});
  options.text = o.word("text", ""), options.file = o.word("file", "");
  o.finish();
  return [options](const TunerContext& context) { return std::make_unique<Prompt>(options, context); };
}

Maker read_prefix(OptionReader& o) {
  Prefix::Options options;
  options.length = o.integer("length", options.length, 1, kLongest);
  options.init = o.choice("init", options.init, {"words", "random"});
  options.reparametrize = o.integer("reparametrize", 0, 0, 1) == 1;
  options.hidden = o.integer("hidden", options.hidden, 1, kLongest);
  options.sites = split(o.word("sites", "all"));
  for (const std::string& s : options.sites)
    check_input(s == "all" || s == "encoder" || s == "decoder" || s == "cross", "prefix: sites=", s,
                " is none of all, encoder, decoder, cross");
  options.words = o.word("words", "");
  o.finish();
  return [options](const TunerContext& context) { return std::make_unique<Prefix>(options, context); };
}

Maker read_adapter(OptionReader& o) {
  Adapter::Options options;
  options.bottleneck = o.integer("bottleneck", options.bottleneck, 1, kLongest);
  options.kind = o.choice("kind", options.kind, {"houlsby", "pfeiffer", "parallel"});
  options = Adapter::completed(options);
  options.activation = o.choice("activation", options.activation, {"relu", "gelu", "gelu_tanh", "silu", "tanh"});
  options.reads = o.choice("reads", options.reads, {"output", "sum", "input", "residual"});
  options.norms = o.integer("norms", options.norms, 0, 1) == 1;
  options.cross = o.integer("cross", options.cross, 0, 1) == 1;
  o.finish();
  return [options](const TunerContext& context) { return std::make_unique<Adapter>(options, context); };
}

Maker read_lora(OptionReader& o) {
  Lora::Options options;
  options.rank = o.integer("rank", options.rank, 1, 65536);
  options.alpha = o.number("alpha", options.alpha, 1e-6, 1e6);
  options.dropout = o.number("dropout", options.dropout, 0, 0.999);
  options.targets = split(o.word("targets", "query,value"));
  o.finish();
  return [options](const TunerContext& context) { return std::make_unique<Lora>(options, context); };
}

Maker read_top_layers(OptionReader& o) {
  const int64_t layers = o.integer("layers", 2, 1, 1000);
  o.finish();
  return [layers](const TunerContext& context) { return std::make_unique<TopLayers>(layers, context); };
}

Maker read_full(OptionReader& o) {
  std::vector<std::string> only = split(o.word("only", ""));
  o.finish();
  std::erase(only, "");
  return [only](const TunerContext& context) { return std::make_unique<Full>(only, context); };
}

struct Method {
  const char* name;
  Maker (*read)(OptionReader&);
  double learning_rate;
};
constexpr Method kMethods[] = {
    {"adapter", read_adapter, Adapter::kLearningRate}, {"full", read_full, Full::kLearningRate},
    {"lora", read_lora, Lora::kLearningRate},          {"prefix", read_prefix, Prefix::kLearningRate},
    {"prompt", read_prompt, Prompt::kLearningRate},    {"top_layers", read_top_layers, TopLayers::kLearningRate}};

const Method& method_named(const std::string& name) {
  for (const Method& m : kMethods)
    if (name == m.name) return m;
  throw InputError(text("no tuner is called ", name, "; there are ", listed(tuner_methods())));
}

}  // namespace

std::unique_ptr<Tuner> make_tuner(const std::string& method, const OptionMap& given, const TunerContext& context) {
  OptionReader reader(method, given);
  return method_named(method).read(reader)(context);
}

OptionMap tuner_options(const std::string& method, const OptionMap& given) {
  OptionReader reader(method, given);
  method_named(method).read(reader);
  return reader.values();
}

double default_learning_rate(const std::string& method) { return method_named(method).learning_rate; }

std::vector<std::string> tuner_methods() {
  std::vector<std::string> names;
  for (const Method& m : kMethods) names.push_back(m.name);
  return names;
}

}  // namespace cambium
