#include "experiments/lib/table/cell_runner.h"

#include <algorithm>
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
#include "experiments/lib/statistics.h"
#include "experiments/lib/table/machine.h"
#include "experiments/lib/table/smoke_model.h"
#include "experiments/lib/taken_positions.h"
#include "experiments/lib/task_data.h"
#include "experiments/lib/train_run.h"
#include "tuning/methods.h"

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

std::string description_of(int64_t demonstrations, int64_t fewest) {
  return text(demonstrations, " demonstrations from the training set, chosen by the seed",
              fewest < demonstrations
                  ? text("; ", fewest, " where more were longer than the model's positions (fewest of an input)")
                  : std::string());
}

}  // namespace

std::string tuner_file(const std::string& run_folder) { return run_folder + "/training/tuner.h5"; }

Session& CellRunner::session(const std::string& model) {
  if (session_ && model == model_) return *session_;
  session_.reset();  // two models at once may be too many
  session_ = std::make_unique<Session>(is_smoke_model(model) ? open_smoke_session(model, common_)
                                                             : open_session(model, common_));
  session_->require_tokenizer();
  model_ = model;
  checksum_ = checksum_of(*session_->model);
  return *session_;
}

const Task& CellRunner::task(const std::string& name, const std::string& data) {
  auto& task = tasks_[{name, data}];
  if (!task) task = make_task(name, data);
  return *task;
}

// A classification head changes the model's configuration: the next cell gets a model without it.
void CellRunner::restore_base(const Tuner* tuner) {
  Session& s = *session_;
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

namespace {

// The scores of the first `count` answers as those that choose; the others stay, with their own scores.
void take_choosing(EvaluationResult& e, int64_t count, const Task& task, CellResult& result) {
  check_input(int64_t(e.outputs.size()) > count, "the dev split has ", e.outputs.size(),
              " inputs: none are left behind the ", count, " that choose");
  const auto take = [&](auto& all) {
    std::remove_reference_t<decltype(all)> first(all.begin(), all.begin() + count);
    all.erase(all.begin(), all.begin() + count);
    return first;
  };
  take(e.inputs);
  const auto outputs = take(e.outputs);
  const auto references = take(e.references);
  for (const auto& [name, value] : metrics::score(task.metric(), references, outputs))
    result.scores["dev_" + name] = value;
  e.scores = metrics::score(task.metric(), e.references, e.outputs);
}

}  // namespace

void CellRunner::evaluate_cell(const CellSpec& spec, Hooks& hooks, CellResult& result) {
  GenerationOptions generation = spec.generation;
  generation.seed = spec.seed;
  for (const std::string& words : spec.forbidden)
    if (auto ids = session_->tokenizer->encode(words, false); !ids.empty())
      generation.forbidden.push_back(std::move(ids));
  const Task& data = task(spec);
  const auto answers = [&](Split split, int64_t limit) {
    return evaluate_task(*session_, hooks, data, spec.decision, split, limit, generation,
                         {.count = spec.demonstrations, .seed = spec.seed});
  };
  const bool shared = spec.split == Split::dev && spec.choosing;  // one split has both
  EvaluationResult e = answers(spec.split, spec.inputs && shared ? spec.inputs + spec.choosing : spec.inputs);
  if (shared) take_choosing(e, spec.choosing, data, result);
  else if (spec.choosing)
    for (const auto& [name, value] : answers(Split::dev, spec.choosing).scores) result.scores["dev_" + name] = value;
  for (const auto& [name, value] : e.scores) result.scores[name] = value;
  if (!data.is_classification())
    for (const auto& [name, value] : metrics::score("bleu", e.references, e.outputs))
      result.scores["cased_" + name] = value / 100;
  result.inputs = std::move(e.inputs), result.outputs = std::move(e.outputs),
  result.references = std::move(e.references);
  if (spec.demonstrations) {
    result.measurements["fewest_demonstrations"] = double(e.fewest_demonstrations);
    result.notes["demonstrations"] = description_of(spec.demonstrations, e.fewest_demonstrations);
  }
  result.measurements["decode_seconds"] = e.seconds;
  result.measurements["texts_per_second"] = e.seconds > 0 ? double(result.inputs.size()) / e.seconds : 0;
  result.measurements["new_tokens"] = double(e.new_tokens);
  result.measurements["decode_tokens_per_second"] = e.seconds > 0 ? double(e.new_tokens) / e.seconds : 0;
}

// An encoder that cannot name a class answers, untrained, by what a new classification head happens to say.
void CellRunner::give_head(const CellSpec& spec) {
  Model& model = *session_->model;
  const bool silent =
      spec.decision == Decision::automatic && model.config().is_encoder() && !model.head && !model.classifier;
  if (task(spec).is_classification() && (silent || spec.decision == Decision::head))
    ClassificationSetup(*session_, task(spec), Decision::head, spec.seed);
}

CellResult CellRunner::run(const std::string& experiment, const CellSpec& spec, const std::string& folder) {
  CellResult result{.experiment = experiment, .cell = cell_of(spec)};
  task(spec);  // data that are not there are said before a model is read
  Session& s = session(spec.model);
  const PeakMemory peak(s.model->device());
  result.measurements["base_parameters"] = double(s.model->parameter_count());
  try {
    const std::unique_ptr<Tuner> tuner = tuner_of(spec, folder, peak, result);
    Hooks none;
    evaluate_cell(spec, tuner ? static_cast<Hooks&>(*tuner) : none, result);
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

namespace {

// The tuner that the start left in its run, beside `folder`.
std::string start_of(const CellSpec& spec, const std::string& folder) {
  const std::string runs = folder.substr(0, folder.find_last_of('/'));
  const std::string path = tuner_file(runs + "/" + cell_of(*spec.start).name());
  CHECK(file_exists(path), "this cell starts from ", spec.start->method, " on ", spec.start->task, ", seed ",
        spec.start->seed, ", which is not finished: ", path, " is not there");
  return path;
}

TunerContext context_of(Session& session, const CellSpec& spec, const Task& data) {
  TunerContext context = session.context(spec.seed);
  context.words = data.words(), context.labels = data.labels();
  return context;
}

}  // namespace

std::unique_ptr<Tuner> CellRunner::tuner_of(const CellSpec& spec, const std::string& folder, const PeakMemory& peak,
                                            CellResult& result) {
  if (spec.trains()) return train_cell(spec, folder, peak, result);
  if (spec.start) {
    const std::string path = result.notes["tuner_file"] = start_of(spec, folder);
    return open_tuner(path, *session_, false);
  }
  give_head(spec);
  return spec.tuner.empty() ? nullptr : make_tuner(spec.tuner, spec.options, context_of(*session_, spec, task(spec)));
}

namespace {

// The mean loss of the last tenth of all steps; and of dev the least one, and the first step within 1 % of it.
void add_losses(CellResult& r) {
  const std::vector<double>& losses = r.series["loss"];
  const size_t last = std::max<size_t>(1, losses.size() / 10);
  if (!losses.empty()) r.measurements["last_loss"] = spread(std::span(losses).last(last)).mean;
  const auto dev = r.series.find("dev_loss");
  if (dev == r.series.end()) return;
  const double least = *std::min_element(dev->second.begin(), dev->second.end());
  const auto first = std::find_if(dev->second.begin(), dev->second.end(), [&](double l) { return l <= 1.01 * least; });
  r.measurements["dev_loss"] = least;
  if (first != dev->second.end())  // none is where a loss is not finite
    r.measurements["converged_step"] = r.series["dev_step"][size_t(first - dev->second.begin())];
}

}  // namespace

std::unique_ptr<Tuner> CellRunner::train_cell(const CellSpec& spec, const std::string& cell_folder,
                                              const PeakMemory& peak, CellResult& result) {
  const std::string folder =
      cell_folder + "/training";  // a run locks its own directory, as the cell's is locked already
  Session& s = *session_;
  const Task& data = task(spec);
  TrainRun run{.method = spec.tuner,
               .options = spec.options,
               .tuner_from = spec.start ? start_of(spec, cell_folder) : "",
               .words = data.words(),
               .labels = data.labels(),
               .train = spec.train,
               .run = {.directory = folder, .resume = true}};
  run.train.seed = spec.seed;
  TrainData train_data = train_data_of(
      s, data, {.decision = spec.decision, .limit = spec.examples, .seed = spec.seed, .dev = spec.dev, .taken = [&] {
                  return taken_positions(s, run);
                }});
  const std::string objective = train_data.objective->description();
  {
    TunerContext context = context_of(s, spec, data);
    context.initialize = false;
    const auto like = make_tuner(spec.tuner, spec.options, context);
    check_evaluation(s, *like, data, spec.decision, spec.split, spec.inputs, spec.generation);
  }

  const Spent before = Spent::read(folder);
  TrainResult trained = train(s, run, std::move(train_data));
  Spent spent = before.with(trained);
  peak.record(spent.peaks);
  spent.write(folder);
  if (trained.end == TrainEnd::stopped) throw Stopped(text("stopped after step ", trained.steps));

  result.series["loss"] = logged_losses(folder + "/log.jsonl");
  for (const Evaluation& e : trained.dev_losses) {
    result.series["dev_step"].push_back(double(e.step));
    result.series["dev_loss"].push_back(e.loss);
  }
  auto& m = result.measurements;
  add_losses(result);
  m["trained_parameters"] = double(trained.trained_scalars);
  m["steps"] = double(trained.steps);
  m["lr"] = run.train.lr > 0 ? run.train.lr : trained.tuner->default_learning_rate();
  m["timed_steps"] = double(spent.steps);
  m["train_seconds"] = spent.seconds_of(trained.steps);
  if (spent.seconds > 0 && spent.tokens > 0) m["train_tokens_per_second"] = spent.tokens / spent.seconds;
  m.insert(spent.peaks.begin(), spent.peaks.end());
  result.notes["objective"] = objective;
  result.notes["checkpoint"] = folder + "/checkpoint.h5";
  result.notes["tuner_options"] = json(trained.tuner->options()).dump();
  result.notes["train_options"] = to_json(spec).at("train").dump();
  return std::move(trained.tuner);
}

}  // namespace cambium
