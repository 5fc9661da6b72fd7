#include "experiments/lib/table/tuning_cell.h"

#include <chrono>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/machine.h"
#include "core/progress.h"
#include "core/resident_memory.h"
#include "core/signals.h"
#include "core/threads.h"
#include "experiments/lib/metrics/metric.h"
#include "experiments/lib/spent.h"
#include "experiments/lib/table/machine.h"
#include "experiments/lib/table/smoke_model.h"
#include "experiments/lib/task_data.h"
#include "experiments/lib/train_run.h"
#include "models/fetch.h"

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
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) losses.push_back(get_number(parse_json(line, path), "loss"));
  return losses;
}

bool trains_base(Model& model, const Tuner& tuner) {
  for (const NamedParameter& p : model.parameters())
    if (tuner.trains(p.name)) return true;
  return false;
}

uint64_t checksum_of(Model& model) {
  return parameter_checksum(model, [](const NamedParameter&) { return true; });
}

void unpack(Model& model) {
  model.pack_frozen([](const Parameter&) { return true; });
}

json generation_json(const TuningPreset& preset) {
  const GenerationOptions& g = preset.generation;
  return {
      {"max_new_tokens", g.max_new_tokens}, {"min_new_tokens", g.min_new_tokens},   {"beams", g.beams},
      {"length_penalty", g.length_penalty}, {"no_repeat_ngram", g.no_repeat_ngram}, {"forbidden", preset.forbidden}};
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
            {"method", method.name}};
  Kernels{common.attention, common.fused_gelu}.describe(j);
  if (preset.decision != Decision::automatic) j["decision"] = int(preset.decision);
  if (!method.tuner.empty()) {
    const TrainOptions t = train_options(method, seed);
    j["tuner"] = {{"method", method.tuner}, {"options", method.options}};
    j["train"] = {{"examples", preset.examples},
                  {"epochs", t.epochs},
                  {"batch_size", t.batch_size},
                  {"lr", t.lr},
                  {"schedule", t.schedule},
                  {"warmup", t.warmup},
                  {"optimizer", t.optimizer},
                  {"weight_decay", t.optimizer_options.weight_decay},
                  {"clip", t.clip},
                  {"steps", t.steps},
                  {"shards", t.shards},
                  {"label_smoothing", t.label_smoothing},
                  {"dropout", {t.dropout.embedding, t.dropout.attention, t.dropout.residual, t.dropout.activation}}};
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
    unpack(*s.model);
    for (const NamedParameter& p : s.model->parameters())
      if (tuner->trains(p.name))
        p.value().copy_from(s.source->read(p.name).to(p.value().dtype()).to(p.value().device()));
  }
  CHECK(checksum_of(*s.model) == checksum_, "the base model is not what it was before ",
        tuner ? tuner->method() : "zero-shot", ": its result is not kept");
}

void TuningBench::evaluate_cell(const Cell& cell, Hooks& hooks, CellResult& result) {
  const TuningPreset& preset = setting_.preset;
  GenerationOptions generation = preset.generation;
  generation.seed = cell.seed;
  for (const std::string& words : preset.forbidden)
    if (auto ids = session().tokenizer->encode(words, false); !ids.empty())
      generation.forbidden.push_back(std::move(ids));
  const Task& data = task(cell.task);
  EvaluationResult e = evaluate_task(session(), hooks, data, preset.decision, preset.split, preset.inputs, generation);
  for (const auto& [name, value] : e.scores) result.scores[name] = value;
  if (!data.is_classification())
    for (const auto& [name, value] : metrics::score("bleu", e.references, e.outputs))
      result.scores["cased_" + name] = value / 100;
  result.inputs = std::move(e.inputs), result.outputs = std::move(e.outputs),
  result.references = std::move(e.references);
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
  unpack(*s.model);
  const PeakMemory peak(s.model->device());
  result.measurements["base_parameters"] = double(s.model->parameter_count());
  try {
    std::unique_ptr<Tuner> tuner;
    Hooks none;
    if (method.tuner.empty()) give_head(cell);
    else tuner = train_cell(cell, method, folder, peak, result);
    if (!tuner || trains_base(*s.model, *tuner)) s.model->pack_frozen([](const Parameter&) { return false; });
    evaluate_cell(cell, tuner ? static_cast<Hooks&>(*tuner) : none, result);
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
      s, data, {.decision = setting_.preset.decision, .limit = setting_.preset.examples, .seed = cell.seed});
  const std::string objective = train_data.objective->description();

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
  json options = trained.tuner->options();
  options["lr"] = run.train.lr > 0 ? run.train.lr : trained.tuner->default_learning_rate();
  result.notes["tuner_options"] = options.dump();
  return std::move(trained.tuner);
}

const Tokenizer* TuningBench::tokenizer() {
  if (tokenizer_ || session_) return tokenizer_ ? tokenizer_.get() : session_->tokenizer.get();
  if (setting_.preset.name == kSmokePreset) {
    parameters_ = session().model->parameter_count();
    return session_->tokenizer.get();
  }
  std::string path;
  try {
    path = find_model(setting_.preset.model);
  } catch (const InputError&) {
    return nullptr;
  }
  parameters_ =
      Model(ModelSource::open(path)->config(), DType::f32, Device::cpu(), Model::Storage::none).parameter_count();
  tokenizer_ = open_tokenizer(path);
  return tokenizer_.get();
}

const TuningBench::TaskSize& TuningBench::size_of(const std::string& name) {
  const auto [place, fresh] = sizes_.try_emplace(name);
  TaskSize& size = place->second;
  if (!fresh) return size;
  const Task& data = task(name);
  const std::vector<TextPair> all = data.examples(Split::train);
  size.examples = int64_t(all.size()), size.inputs = int64_t(data.items(setting_.preset.split).size());
  constexpr size_t kSampled = 200;  // texts whose mean length stands for all
  const size_t n = std::min(kSampled, all.size());
  if (const Tokenizer* words = tokenizer())
    for (size_t i = 0; i < n; ++i) {
      const TextPair& pair = all[i * all.size() / n];
      const int64_t longest = data.max_input_tokens() ? data.max_input_tokens() : std::numeric_limits<int64_t>::max();
      size.input += double(std::min(longest, int64_t(words->encode(pair.input, false).size()))) / double(n);
      size.target += data.is_classification() ? 0 : double(words->encode(pair.target, false).size() + 1) / double(n);
    }
  return size;
}

CellCost TuningBench::cost(const Cell& cell, const TuningMethod& method) {
  CellCost cost;
  const TuningPreset& preset = setting_.preset;
  const TaskSize& size = size_of(cell.task);
  const TrainOptions t = setting_.train_options(method, cell.seed);
  const int64_t count = preset.examples ? preset.examples : size.examples;
  const int64_t per_epoch = (count + t.batch_size - 1) / t.batch_size;
  cost.steps = method.tuner.empty() ? 0 : t.steps ? t.steps : per_epoch * t.epochs;
  if (!tokenizer()) return cost;

  const int64_t inputs = preset.inputs ? std::min(preset.inputs, size.inputs) : size.inputs;
  const double sequences = method.tuner.empty() ? 0 : double(t.steps ? t.steps * t.batch_size : count * t.epochs);
  cost.train_tokens = int64_t(sequences * (size.input + size.target));
  cost.decode_tokens = int64_t(double(inputs) * std::min(size.target, double(preset.generation.max_new_tokens)));

  // Forward takes 2 operations a parameter and token, backward through a frozen base 2, with the base's gradients 4.
  const double per_token = method.tuner == "full" ? 6 : method.tuner == "top_layers" ? 3 : 4;
  const double operations =
      double(parameters_) * (per_token * double(cost.train_tokens) + 2 * double(inputs) * size.input +
                             2 * double(cost.decode_tokens * preset.generation.beams));
  constexpr double kShareOfPeak = 0.5;
  if (const double peak = matmul_speed(setting_.common); peak > 0) cost.seconds = operations / (peak * kShareOfPeak);
  return cost;
}

}  // namespace cambium
