// convert: models and tuners from one form to another.
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/machine.h"
#include "core/path_kind.h"
#include "core/places.h"
#include "core/progress.h"
#include "experiments/lib/commands/commands.h"
#include "models/export.h"
#include "models/fetch.h"
#include "tuning/peft.h"

namespace cambium {
namespace {

// A tuner of ours as PEFT's directory. The base is not read: names and shapes stand in the checkpoint.
void write_peft(const ConvertOptions& options) {
  check_tuner(options.input);
  check_input(!is_peft_adapter(options.input), options.input, " is an adapter of PEFT already");
  const CheckpointInfo info = read_checkpoint_info(options.input);
  Model model(config_from_json(info.base.config, options.input), DType::f32);
  const auto tuner = load_tuner(options.input, model, info.base, true);
  std::vector<std::string> trained;
  for (const auto& [name, _] : info.trained_base) trained.push_back(name);
  save_peft_adapter(options.output, *tuner, model, info.base.source, trained);
  Progress::say(text(options.output, ": ", tuner->method(), " as PEFT's adapter"));
}

// Of a tuner that PEFT trained a classification head belongs to it.
class WithHead : public GivenLabels {
  bool trains(std::string_view name) const override { return name.starts_with("classifier."); }
};

// PEFT's directory as a tuner of ours, on its base.
void read_peft(const CommonOptions& common, const ConvertOptions& options) {
  check_input(options.output.ends_with(".h5"), options.output, ": a tuner of PEFT becomes FILE.h5");
  std::string base = options.model;
  if (base.empty()) {
    const std::string path = options.input + "/adapter_config.json";
    base = reading(path, [&] { return find_string(parse_json_file(path), "base_model_name_or_path").value_or(""); });
    check_input(!base.empty(), path, " names no base; give it with --model");
  }
  CommonOptions exact = common;
  exact.device = "cpu", exact.dtype = "f32";
  Session session = open_session(base, exact);
  const auto tuner = open_tuner(options.input, session, false);
  const TrainedSet trained(*session.model, *tuner, {}, WithHead());
  save_checkpoint(options.output, *tuner, trained, nullptr, {.run_config = "{}", .instruction_set = instruction_set()},
                  session.identity,
                  compute_golden(*session.model, *tuner, sample_sequences(session.model->config())));
  Progress::say(text(options.output, ": ", tuner->method(), ", ", trained.scalars(), " parameters"));
}

}  // namespace

int run_convert(const CommonOptions& common, const ConvertOptions& options) {
  check_input(options.to.empty() || options.to == "peft", "--to ", options.to, ": there is peft");
  const bool of_peft = is_peft_adapter(options.input);
  check_input(options.model.empty() || of_peft, "--model is the base of a PEFT adapter; ", options.input, " is none");
  if (options.to == "peft" || of_peft) {
    check_file_or_directory(options.output);
    if (options.to == "peft") write_peft(options);
    else read_peft(common, options);
    return 0;
  }
  // Whatever this machine would compute in: numbers are rounded only where that was asked for.
  const DType type = common.dtype.empty() ? DType::f32 : weight_type_of(common, Device::cpu());
  check_input(type == DType::f32 || !options.output.ends_with(".h5"),
              "--dtype bf16: .h5 files of ours keep float32; give a directory");
  check_file_or_directory(options.output);
  const std::string path = find_model(options.input);
  const auto source = ModelSource::open(path);
  save_model(
      source->config(), [&](const std::string& name) { return source->read(name); }, path, options.output, type);
  return 0;
}


}  // namespace cambium
