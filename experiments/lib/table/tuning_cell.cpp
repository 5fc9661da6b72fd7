#include "experiments/lib/table/tuning_cell.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/lines.h"
#include "core/machine.h"
#include "core/progress.h"
#include "core/resident_memory.h"
#include "core/signals.h"
#include "core/threads.h"
#include "experiments/lib/metrics/metric.h"
#include "experiments/lib/spent.h"
#include "experiments/lib/table/machine.h"
#include "experiments/lib/table/smoke_model.h"
#include "experiments/lib/taken_positions.h"
#include "experiments/lib/task_data.h"
#include "experiments/lib/train_run.h"
#include "tuning/methods.h"
#include "tuning/options.h"

namespace cambium {

// Peaks of one cell: of the process (the shared base included), and of tensors alone.
class PeakMemory {
 public:
  explicit PeakMemory(Device device) : device_(device), of_cell_(reset_resident_peak()) {
    Allocator::of(device_).trim();
    Allocator::of(device_).reset_peak();
  }
  // Where they are above what earlier sessions of the cell saw.
  void record(std::map<std::string, double>& to) const {
    const auto raise = [&](const char* name, double bytes) { to[name] = std::max(to[name], bytes); };
    if (of_cell_) raise("resident_peak_bytes", double(resident_peak()));
    raise("tensor_peak_bytes", double(Allocator::of(device_).counters().peak));
  }

 private:
  Device device_;
  bool of_cell_;
};

namespace {

using nlohmann::json;

std::vector<double> logged_losses(const std::string& path) {
  std::vector<double> losses;
  for_each_line_of(read_text_file(path), [&](const std::string& line, int64_t number) {
    losses.push_back(get_number(parse_json(line, text(path, ":", number)), "loss"));
  });
  return losses;
}

uint64_t checksum_of(Model& model) {
  return parameter_checksum(model, [](const NamedParameter&) { return true; });
}

// What outputs depend on: not the batch size, which changes no bit, nor the seed, which is the cell's.
json generation_json(const TuningPreset& preset) {
  const GenerationOptions& g = preset.generation;
  return {{"max_new_tokens", g.max_new_tokens},
          {"min_new_tokens", g.min_new_tokens},
          {"beams", g.beams},
          {"results", g.results},
          {"length_penalty", g.length_penalty},
          {"no_repeat_ngram", g.no_repeat_ngram},
          {"forbidden", preset.forbidden},
          {"forbidden_tokens", g.forbidden},
          {"eos", g.eos ? json(*g.eos) : json()},
          {"sample", g.sample},
          {"temperature", g.temperature},
          {"top_p", g.top_p},
          {"top_k", g.top_k}};
}

json train_json(TrainOptions options, const std::string& tuner) {
  if (options.lr == 0) options.lr = default_learning_rate(tuner);
  json j = to_json(options);
  keep_what_is_learned(j);
  return j;
}

std::string description_of(int64_t demonstrations, int64_t fewest) {
  return text(demonstrations, " demonstrations from the training set, chosen by the seed",
              fewest < demonstrations
                  ? text("; ", fewest, " where more were longer than the model's positions (fewest of an input)")
                  : std::string());
}

}  // namespace

TrainOptions TuningSetting::train_options(const TuningMethod& method, uint64_t seed) const {
  TrainOptions t = preset.train;
  t.seed = seed;
  if (method.lr > 0) t.lr = method.lr;
  if (method.epochs) t.epochs = method.epochs;
  if (method.batch_size) t.batch_size = method.batch_size;
  if (method.adjust) method.adjust(t);
  return t;
}

std::string TuningSetting::describe(const std::string& experiment, const TuningMethod& method, const std::string& task,
                                    uint64_t seed) const {
  const Device device = device_of(common);
  json j = {{"experiment", experiment},
            {"preset", preset.name},
            {"model", preset.model},
            {"task", task},
            {"data", data},
            {"seed", seed},
            {"dtype", name_of(weight_type_of(common, device))},
            {"device", device.is_gpu() ? "gpu" : "cpu"},
            {"inputs", preset.inputs},
            {"split", preset.split == Split::test ? "test" : "dev"},
            {"generation", generation_json(preset)},
            {"decision", int(preset.decision)},
            {"method", method.name}};
  Kernels{common.attention, common.fused_gelu}.describe(j);
  if (method.demonstrations) j["demonstrations"] = method.demonstrations;
  if (!method.tuner.empty()) {
    j["tuner"] = {{"method", method.tuner}, {"options", tuner_options(method.tuner, method.options)}};
    j["train"] = train_json(train_options(method, seed), method.tuner);
    j["examples"] = preset.examples;
  }
  return j.dump();
}

Session& TuningBench::session() {
  if (session_) return *session_;
  const TuningPreset& preset = setting_.preset;
  session_ = std::make_unique<Session>(preset.name == kSmokePreset ? open_smoke_session(preset.model, setting_.common)
                                                                   : open_session(preset.model, setting_.common));
  session_->require_tokenizer();
  checksum_ = checksum_of(*session_->model);
  return *session_;
}

const Task& TuningBench::task(const std::string& name) {
  auto& task = tasks_[name];
  if (!task) task = make_task(name, setting_.data);
  return *task;
}

// A classification head changes the model's configuration: the next cell gets a model without it.
void TuningBench::restore_base(const Tuner* tuner) {
  Session& s = session();
  if (s.model->classifier) {
    const DType weights = s.model->weight_type();
    const Device device = s.model->device();
    s.model.reset();
    s.model = load_model(*s.source, weights, device);
  } else if (tuner) {
    for (const NamedParameter& p : s.model->parameters())
      if (tuner->trains(p.name))
        p.value().copy_from(s.source->read(p.name).to(p.value().dtype()).to(p.value().device()));
  }
  CHECK(checksum_of(*s.model) == checksum_, "the base model is not what it was before ",
        tuner ? tuner->method() : "zero-shot", ": its result is not kept");
}

void TuningBench::evaluate_cell(const Cell& cell, Hooks& hooks, int64_t demonstrations, CellResult& result) {
  const TuningPreset& preset = setting_.preset;
  GenerationOptions generation = preset.generation;
  generation.seed = cell.seed;
  for (const std::string& words : preset.forbidden)
    if (auto ids = session().tokenizer->encode(words, false); !ids.empty())
      generation.forbidden.push_back(std::move(ids));
  const Task& data = task(cell.task);
  EvaluationResult e = evaluate_task(session(), hooks, data, preset.decision, preset.split, preset.inputs, generation,
                                     {.count = demonstrations, .seed = cell.seed});
  for (const auto& [name, value] : e.scores) result.scores[name] = value;
  if (!data.is_classification())
    for (const auto& [name, value] : metrics::score("bleu", e.references, e.outputs))
      result.scores["cased_" + name] = value / 100;
  result.inputs = std::move(e.inputs), result.outputs = std::move(e.outputs),
  result.references = std::move(e.references);
  if (demonstrations) {
    result.measurements["fewest_demonstrations"] = double(e.fewest_demonstrations);
    result.notes["demonstrations"] = description_of(demonstrations, e.fewest_demonstrations);
  }
  result.measurements["decode_seconds"] = e.seconds;
  result.measurements["texts_per_second"] = e.seconds > 0 ? double(result.inputs.size()) / e.seconds : 0;
  result.measurements["new_tokens"] = double(e.new_tokens);
  result.measurements["decode_tokens_per_second"] = e.seconds > 0 ? double(e.new_tokens) / e.seconds : 0;
}

// An encoder that cannot name a class answers, untrained, by what a new classification head happens to say.
void TuningBench::give_head(const Cell& cell) {
  const Decision decision = setting_.preset.decision;
  Model& model = *session().model;
  const bool silent =
      decision == Decision::automatic && model.config().is_encoder() && !model.head && !model.classifier;
  if (task(cell.task).is_classification() && (silent || decision == Decision::head))
    ClassificationSetup(session(), task(cell.task), Decision::head, cell.seed);
}

CellResult TuningBench::run(const std::string& experiment, const Cell& cell, const TuningMethod& method,
                            const std::string& folder) {
  CellResult result{.experiment = experiment, .cell = cell};
  task(cell.task);  // data that are not there are said before a model is read
  Session& s = session();
  const PeakMemory peak(s.model->device());
  result.measurements["base_parameters"] = double(s.model->parameter_count());
  try {
    std::unique_ptr<Tuner> tuner;
    Hooks none;
    if (method.tuner.empty()) give_head(cell);
    else tuner = train_cell(cell, method, folder, peak, result);
    evaluate_cell(cell, tuner ? static_cast<Hooks&>(*tuner) : none, method.demonstrations, result);
    peak.record(result.measurements);
    restore_base(tuner.get());
  } catch (...) {
    session_.reset();  // a base that trained half-way is of no use to the next cell
    throw;
  }
  result.measurements["threads"] = double(threads());
  result.notes["software_version"] = software_version();
  result.notes["instruction_set"] = instruction_set();
  result.notes["machine"] = machine_description();
  result.notes["base_hash"] = s.identity.hash;
  result.notes["dtype"] = s.identity.dtype;
  return result;
}

std::unique_ptr<Tuner> TuningBench::train_cell(const Cell& cell, const TuningMethod& method,
                                               const std::string& cell_folder, const PeakMemory& peak,
                                               CellResult& result) {
  const std::string folder =
      cell_folder + "/training";  // a run locks its own directory, as the cell's is locked already
  Session& s = session();
  const Task& data = task(cell.task);
  TrainRun run{.method = method.tuner,
               .options = method.options,
               .words = data.words(),
               .labels = data.labels(),
               .train = setting_.train_options(method, cell.seed),
               .run = {.directory = folder, .resume = true}};
  TrainData train_data = train_data_of(
      s, data,
      {.decision = setting_.preset.decision, .limit = setting_.preset.examples, .seed = cell.seed, .taken = [&] {
         return taken_positions(s, run);
       }});
  const std::string objective = train_data.objective->description();
  {
    TunerContext context = s.context(cell.seed);
    context.words = data.words(), context.labels = data.labels(), context.initialize = false;
    const auto like = make_tuner(method.tuner, method.options, context);
    check_evaluation(s, *like, data, setting_.preset.decision, setting_.preset.split, setting_.preset.inputs,
                     setting_.preset.generation);
  }

  const Spent before = Spent::read(folder);
  TrainResult trained = train(s, run, std::move(train_data));
  Spent spent = before.with(trained);
  peak.record(spent.peaks);
  spent.write(folder);
  if (trained.end == TrainEnd::stopped) throw Stopped(text("stopped after step ", trained.steps));

  result.series["loss"] = logged_losses(folder + "/log.jsonl");
  auto& m = result.measurements;
  m["trained_parameters"] = double(trained.trained_scalars);
  m["steps"] = double(trained.steps);
  m["timed_steps"] = double(spent.steps);
  m["train_seconds"] = spent.seconds_of(trained.steps);
  if (spent.seconds > 0 && spent.tokens > 0) m["train_tokens_per_second"] = spent.tokens / spent.seconds;
  m.insert(spent.peaks.begin(), spent.peaks.end());
  result.notes["objective"] = objective;
  result.notes["checkpoint"] = folder + "/checkpoint.h5";
  result.notes["tuner_options"] = json(trained.tuner->options()).dump();
  result.notes["train_options"] = train_json(run.train, method.tuner).dump();
  return std::move(trained.tuner);
}

}  // namespace cambium
