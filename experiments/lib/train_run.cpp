#include "experiments/lib/train_run.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/files.h"
#include "core/json_difference.h"
#include "core/lines.h"
#include "core/machine.h"
#include "core/progress.h"
#include "core/sha256.h"
#include "experiments/lib/what_trains.h"
#include "tuning/methods.h"
#include "tuning/peft.h"

namespace cambium {
namespace {

using nlohmann::json;

std::string data_hash(const TrainData& data) {
  Sha256 sum;
  sum.update(data.examples.hash() + data.dev.hash());
  return hex(sum.finish());
}

// Of the last step, by this session or, where it had none left to do, an earlier one; NaN where no log says it.
double last_logged_loss(const std::string& path) {
  double loss = std::nan("");
  if (!file_exists(path)) return loss;
  for_each_line_of(read_text_file(path), [&](const std::string& line, int64_t) {
    const json entry = json::parse(line, nullptr, false);
    if (entry.is_object() && entry.contains("loss") && entry["loss"].is_number()) loss = entry["loss"].get<double>();
  });
  return loss;
}

}  // namespace

std::string run_config(const Session& session, const TrainRun& run, const TrainData& data) {
  json config = to_json(run.train);
  keep_what_is_learned(config);  // the same bits get the same checkpoint, whenever they are saved
  config.update({{"base_hash", session.identity.hash},
                 {"dtype", session.identity.dtype},
                 {"method", run.method},
                 {"options", run.options},
                 {"tuner_from", run.tuner_from},
                 {"words", run.words},
                 {"labels", run.labels},
                 {"data", data_hash(data)},
                 {"objective", data.objective->description()}});
  session.kernels.describe(config);  // a run that goes on must not change them
  return config.dump();
}

namespace {

// float32 values of base parameters that train in bfloat16: those of the tuner to start from, else the source's. What
// neither has (a new head) is as it is.
std::function<Tensor(const std::string&)> master_of(const Session& session, const std::string& from) {
  std::set<std::string> stored;
  if (session.source) {
    Model shapes(session.source->config(), DType::f32, Device::cpu(), Model::Storage::none);
    for (const NamedParameter& p : shapes.parameters()) stored.insert(p.name);
  }
  std::function<Tensor(const std::string&)> trained;
  if (!from.empty()) trained = is_peft_adapter(from) ? peft_trained_base(from, session.model->config()) : trained_base(from);
  return [&session, stored, trained](const std::string& name) {
    if (trained)
      if (const Tensor value = trained(name)) return value;
    if (stored.count(name)) return session.source->read(name);
    return parameter_named(session.model->parameters(), name).value().to(DType::f32);
  };
}

// One run: its tuner, what it learns from, and its directory, to which it hands everything on.
class Run : public TrainListener {
 public:
  // Refuses what cannot begin, and touches no file.
  Run(Session& session, const TrainRun& run, TrainData data, Communicator& workers)
      : session_(session), options_(run.run), describes_(run.describe && workers.is_first()) {
    options_.config = run_config(session, run, data);
    if (workers.is_first()) directory_.emplace(options_);
    const std::string from = checkpoint().empty() ? run.tuner_from : checkpoint();
    result_.tuner = from.empty() ? new_tuner(run) : stored_tuner(from, run);
    trained_.emplace(*session.model, *result_.tuner, master_of(session, from), *data.objective);
    trainee_.emplace(*session.model, *result_.tuner, *trained_, std::move(data), run.train, workers);
    state_ = {.steps = trainee_->total_steps(),
              .shards = run.train.shards,
              .seed = run.train.seed,
              .run_config = options_.config,
              .instruction_set = instruction_set()};
    if (!checkpoint().empty()) resume();
  }
  // What must be the same at all workers.
  json facts() const {
    json facts = json::parse(options_.config);
    facts.update(to_json(trainee_->options()));
    for (const TrainedSet::Entry& e : trained_->entries()) facts["trained"][e.name] = text(e.value.shape());
    return facts;
  }

  Trainee& trainee() { return *trainee_; }
  // shared: progress of several runs.
  void begin(Progress* shared) {
    shared_ = shared;
    result_.trained_scalars = trained_->scalars();
    if (describes_)
      for (const std::string& line : what_trains(session_.model->parameter_count(), *trained_, forecast_memory(*trainee_)))
        Progress::say(line);
    if (directory_) directory_->begin(session_, *result_.tuner, *trained_, *trainee_, state_);
  }
  TrainResult finished(const TrainOutcome& outcome, double seconds) {
    result_.end = outcome.end, result_.error = outcome.error;
    result_.seconds = seconds;
    result_.steps = trainee_->step();
    result_.tokens_per_second = seconds > 0 ? result_.tokens / seconds : 0;
    if (!directory_) return std::move(result_);
    result_.dev_losses = directory_->evaluations();
    result_.last_loss = last_logged_loss(options_.directory + "/log.jsonl");
    return std::move(result_);
  }

  void on_step(const StepReport& r) override {
    result_.losses.push_back(r.loss);
    result_.tokens += double(r.tokens);
    if (directory_) directory_->on_step(r);
    if (shared_) shared_->add(1);
  }
  void on_evaluation(int64_t step, double loss, bool best) override {
    if (directory_) directory_->on_evaluation(step, loss, best);
  }
  void on_save(int64_t step, bool last) override {
    if (directory_) directory_->on_save(step, last);
  }

 private:
  // To continue from; worker 0's, who tells the others what is in it.
  std::string checkpoint() const { return directory_ ? directory_->checkpoint() : ""; }

  std::unique_ptr<Tuner> new_tuner(const TrainRun& run) {
    TunerContext context = session_.context(run.train.seed);
    context.words = run.words, context.labels = run.labels;
    return make_tuner(run.method, run.options, context);
  }

  std::unique_ptr<Tuner> stored_tuner(const std::string& from, const TrainRun& run) {
    auto tuner = open_tuner(from, session_, run.force_base);
    const bool peft = is_peft_adapter(from);  // which has no record
    const Golden stored = peft ? Golden() : read_golden(from);
    if (!peft && stored.empty() && checkpoint().empty())
      Progress::say(text("note: ", from, " stores no logits: whether it computes what it did cannot be checked"));
    const double worst = golden_difference(*session_.model, *tuner, stored);
    if (!(worst <= 1e-4))
      Progress::say(
          text("warning: ", from, ": logits differ from the stored ones by ", worst, "; model or machine is another"));
    return tuner;
  }

  void resume() {
    const CheckpointInfo info = read_checkpoint_info(checkpoint());
    if (info.state.instruction_set != state_.instruction_set)
      Progress::say(text("note: this run was started with ", info.state.instruction_set, "; with ",
                         state_.instruction_set, " its bits will differ"));
    load_training_state(checkpoint(), *trained_, trainee_->optimizer());
    trainee_->resume_at(info.state.step);
    trainee_->best_dev = info.state.best_dev;
  }

  Session& session_;
  RunOptions options_;
  bool describes_;
  std::optional<RunDirectory> directory_;  // worker 0's
  std::optional<TrainedSet> trained_;
  std::optional<Trainee> trainee_;
  TrainingState state_;
  TrainResult result_;
  Progress* shared_ = nullptr;
};

// Throws InputError where a worker would train something else than worker 0.
void check_same(Communicator& workers, const Session& session, const std::vector<std::unique_ptr<Run>>& runs) {
  if (workers.size() == 1) return;
  json facts = {{"software", software_version()},
                {"instruction_set", instruction_set()},
                {"device", session.model->device().is_gpu() ? "gpu" : "cpu"},
                {"number of runs", runs.size()}};
  for (size_t i = 0; i < runs.size(); ++i) facts[runs.size() == 1 ? "options" : text("run ", i)] = runs[i]->facts();
  const std::vector<std::string> all = workers.gather_to_all(facts.dump());
  for (int r = 1; r < workers.size(); ++r)
    if (const auto found = first_difference(json::parse(all[size_t(r)]), json::parse(all[0])))
      throw InputError(text(workers.name_of(r), " would train something else: ", found->name, " is ", found->left,
                            ", but ", found->right,
                            " at worker 0\nGive all workers the same program, options and data"));
}

std::vector<TrainResult> run_all(Session& session, std::vector<std::unique_ptr<Run>>& runs, Communicator& workers) {
  check_same(workers, session, runs);
  std::vector<Trainee*> trainees;
  std::vector<TrainListener*> listeners;
  int64_t steps = 0;
  for (const auto& r : runs) {
    trainees.push_back(&r->trainee()), listeners.push_back(r.get());
    steps += r->trainee().total_steps() - r->trainee().step();
  }
  check_together(*session.model, trainees);
  std::optional<Progress> progress;
  if (runs.size() > 1 && workers.is_first()) progress.emplace(text("training ", runs.size(), " tuners"), steps);
  for (const auto& r : runs) r->begin(progress ? &*progress : nullptr);
  gpu::StepGraphs graphs(session.model->device());
  const auto start = std::chrono::steady_clock::now();
  const std::vector<TrainOutcome> outcomes = train_together(*session.model, trainees, listeners, graphs);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::vector<TrainResult> results;
  for (size_t i = 0; i < runs.size(); ++i) results.push_back(runs[i]->finished(outcomes[i], seconds));
  return results;
}

}  // namespace

TrainResult train(Session& session, const TrainRun& run, TrainData data, Communicator& workers) {
  std::vector<std::unique_ptr<Run>> one;
  one.push_back(std::make_unique<Run>(session, run, std::move(data), workers));
  TrainResult result = std::move(run_all(session, one, workers).front());
  if (result.error) std::rethrow_exception(result.error);
  return result;
}

std::vector<TrainResult> train_together(Session& session, const std::vector<TrainRun>& runs,
                                        std::vector<TrainData> data, const std::function<std::string(size_t)>& name,
                                        Communicator& workers) {
  std::vector<std::unique_ptr<Run>> all;
  for (size_t i = 0; i < runs.size(); ++i)
    reading(name(i), [&] { all.push_back(std::make_unique<Run>(session, runs[i], std::move(data[i]), workers)); });
  return run_all(session, all, workers);
}

}  // namespace cambium
