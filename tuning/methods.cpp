// The table of methods: name, options, factory.
#include "tuning/adapter.h"
#include "tuning/base_tuners.h"
#include "tuning/lora.h"
#include "tuning/options.h"
#include "tuning/prefix.h"
#include "tuning/prompt.h"

namespace cambium {
namespace {

constexpr int64_t kLongest = 1 << 20;

std::unique_ptr<Tuner> make_prompt(OptionReader& o, const TunerContext& context) {
  Prompt::Options options;
  options.length = o.integer("length", options.length, 1, kLongest);
  options.init = o.choice("init", options.init, {"vocabulary", "random", "text", "labels", "file"});
  options.where = o.choice("where", options.where, {"", "encoder", "decoder", "both"});
  options.text = o.word("text", ""), options.file = o.word("file", "");
  o.finish();
  return std::make_unique<Prompt>(options, context);
}

std::unique_ptr<Tuner> make_prefix(OptionReader& o, const TunerContext& context) {
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
  return std::make_unique<Prefix>(options, context);
}

std::unique_ptr<Tuner> make_adapter(OptionReader& o, const TunerContext& context) {
  Adapter::Options options;
  options.bottleneck = o.integer("bottleneck", options.bottleneck, 1, kLongest);
  options.kind = o.choice("kind", options.kind, {"houlsby", "pfeiffer", "parallel"});
  o.finish();
  return std::make_unique<Adapter>(options, context);
}

std::unique_ptr<Tuner> make_lora(OptionReader& o, const TunerContext& context) {
  Lora::Options options;
  options.rank = o.integer("rank", options.rank, 1, 65536);
  options.alpha = o.number("alpha", options.alpha, 1e-6, 1e6);
  options.dropout = o.number("dropout", options.dropout, 0, 0.999);
  options.targets = split(o.word("targets", "query,value"));
  o.finish();
  return std::make_unique<Lora>(options, context);
}

std::unique_ptr<Tuner> make_top_layers(OptionReader& o, const TunerContext& context) {
  const int64_t layers = o.integer("layers", 2, 1, 1000);
  o.finish();
  return std::make_unique<TopLayers>(layers, context);
}

std::unique_ptr<Tuner> make_full(OptionReader& o, const TunerContext& context) {
  std::vector<std::string> only = split(o.word("only", ""));
  o.finish();
  std::erase(only, "");
  return std::make_unique<Full>(std::move(only), context);
}

struct Method {
  const char* name;
  std::unique_ptr<Tuner> (*make)(OptionReader&, const TunerContext&);
};
constexpr Method kMethods[] = {{"adapter", make_adapter}, {"full", make_full},     {"lora", make_lora},
                               {"prefix", make_prefix},   {"prompt", make_prompt}, {"top_layers", make_top_layers}};

}  // namespace

std::unique_ptr<Tuner> make_tuner(const std::string& method, const OptionMap& given, const TunerContext& context) {
  for (const Method& m : kMethods) {
    if (method != m.name) continue;
    OptionReader reader(method, given);
    return m.make(reader, context);
  }
  throw InputError(text("no tuner is called ", method, "; there are ", listed(tuner_methods())));
}

std::vector<std::string> tuner_methods() {
  std::vector<std::string> names;
  for (const Method& m : kMethods) names.push_back(m.name);
  return names;
}

}  // namespace cambium
