#include "tuning/methods.h"

#include "tuning/adapter.h"
#include "tuning/base_tuners.h"
#include "tuning/compose.h"
#include "tuning/dora.h"
#include "tuning/ia3.h"
#include "tuning/lora.h"
#include "tuning/p_tuning.h"
#include "tuning/prefix.h"
#include "tuning/prompt.h"
#include "tuning/vera.h"

namespace cambium {
namespace {

constexpr Method kMethods[] = {
    {"adapter", "Houlsby et al. 2019; Pfeiffer et al. 2021; He et al. 2022; Lin et al. 2020", Adapter::read, Adapter::kLearningRate},
    {"bitfit", "Ben Zaken et al. 2022", BitFit::read, BitFit::kLearningRate, true},
    {"dora", "Liu et al. 2024", Dora::read, Lora::kLearningRate, true},
    {"full", "", Full::read, Full::kLearningRate, true},
    {"ia3", "Liu et al. 2022", Ia3::read, Ia3::kLearningRate, true},
    {"layer_norm", "Zhao et al. 2024", LayerNormTuning::read, LayerNormTuning::kLearningRate, true},
    {"lora", "Hu et al. 2022", Lora::read, Lora::kLearningRate, true},
    {"mam", "He et al. 2022", Compose::read_mam, Compose::kMamLearningRate},
    {"p_tuning", "Liu et al. 2021", PTuning::read, PTuning::kLearningRate},
    {"p_tuning_v2", "Liu et al. 2022b", PTuningV2::read, Prefix::kLearningRate},
    {"prefix", "Li & Liang 2021", Prefix::read, Prefix::kLearningRate},
    {"prompt", "Lester et al. 2021", Prompt::read, Prompt::kLearningRate},
    {"top_layers", "", TopLayers::read, TopLayers::kLearningRate, true},
    {"vera", "Kopiczko et al. 2024", Vera::read, Vera::kLearningRate, true},
};

bool is_composed(const std::string& method) { return method.find('+') != method.npos; }

TunerMaker read_method(OptionReader& reader) {
  return is_composed(reader.method()) ? Compose::read(reader, reader.method()) : method_named(reader.method()).read(reader);
}

}  // namespace

std::span<const Method> methods() { return kMethods; }

const Method& method_named(const std::string& name) {
  for (const Method& m : kMethods)
    if (name == m.name) return m;
  throw InputError(text("no tuner is called ", name, "; there are ", listed(tuner_methods())));
}

std::string options_help(const Method& method) {
  const OptionMap none;
  OptionReader reader(method.name, none);
  method.read(reader);
  return listed(reader.help(), " ");
}

std::unique_ptr<Tuner> make_tuner(const std::string& method, const OptionMap& given, const TunerContext& context) {
  OptionReader reader(method, given);
  return read_method(reader)(context);
}

OptionMap tuner_options(const std::string& method, const OptionMap& given) {
  OptionReader reader(method, given);
  read_method(reader);
  return reader.values();
}

double default_learning_rate(const std::string& method) {
  return is_composed(method) ? composed_learning_rate(method) : method_named(method).learning_rate;
}

std::vector<std::string> tuner_methods() {
  std::vector<std::string> names;
  for (const Method& m : kMethods) names.push_back(m.name);
  return names;
}

std::vector<std::string> mergeable_methods() {
  std::vector<std::string> names;
  for (const Method& m : kMethods)
    if (m.mergeable) names.push_back(m.name);
  return names;
}

}  // namespace cambium
