#include "experiments/lib/train_run.h"

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/files.h"
#include "core/lines.h"
#include "core/machine.h"
#include "core/sha256.h"
#include "tuning/methods.h"
#include "tuning/peft.h"

namespace cambium {
namespace {

using nlohmann::json;

// Keeps the losses and hands everything on.
class Recorder : public TrainListener {
 public:
  Recorder(RunDirectory& run, TrainResult& result) : run_(run), result_(result) {}
  void on_step(const StepReport& r) override {
    result_.losses.push_back(r.loss);
    tokens_ += r.tokens;
    run_.on_step(r);
  }
  void on_evaluation(int64_t step, double loss, bool best) override { run_.on_evaluation(step, loss, best); }
  void on_save(int64_t step, bool last) override { run_.on_save(step, last); }
  int64_t tokens() const { return tokens_; }

 private:
  RunDirectory& run_;
  TrainResult& result_;
  int64_t tokens_ = 0;
};

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

// float32 values of base parameters that train in bfloat16: those of the checkpoint to start from, else the source's.
// What neither has (a new head) is as it is.
std::function<Tensor(const std::string&)> master_of(const Session& session, const std::string& from) {
  std::set<std::string> stored;
  if (session.source) {
    Model shapes(session.source->config(), DType::f32, Device::cpu(), Model::Storage::none);
    for (const NamedParameter& p : shapes.parameters()) stored.insert(p.name);
  }
  std::function<Tensor(const std::string&)> trained;
  const bool peft = !from.empty() && is_peft_adapter(from);
  if (!from.empty() && !peft) trained = trained_base(from);
  return [&session, stored, trained, peft](const std::string& name) {
    if (trained)
      if (const Tensor value = trained(name)) return value;
    // A head that a PEFT adapter brought is not the source's.
    if (stored.count(name) && !(peft && name.starts_with("classifier."))) return session.source->read(name);
    for (const NamedParameter& p : session.model->parameters())
      if (p.name == name) return p.value().to(DType::f32);
    throw Error(text("there is no parameter ", name));
  };
}

}  // namespace

TrainResult train(Session& session, const TrainRun& run, TrainData data) {
  RunOptions run_options = run.run;
  run_options.config = run_config(session, run, data);
  RunDirectory directory(run_options);

  Model& model = *session.model;
  TrainResult result;
  const std::string& from = directory.checkpoint().empty() ? run.tuner_from : directory.checkpoint();
  if (from.empty()) {
    TunerContext context = session.context(run.train.seed);
    context.words = run.words, context.labels = run.labels;
    result.tuner = make_tuner(run.method, run.options, context);
  } else {
    result.tuner = open_tuner(from, session, run.force_base);
    const bool peft = is_peft_adapter(from);  // which has none
    const Golden stored = peft ? Golden() : read_golden(from);
    if (!peft && stored.empty() && directory.checkpoint().empty())
      Progress::say(text("note: ", from, " stores no logits: whether it computes what it did cannot be checked"));
    const double worst = golden_difference(model, *result.tuner, stored);
    if (!(worst <= 1e-4))
      Progress::say(
          text("warning: ", from, ": logits differ from the stored ones by ", worst, "; model or machine is another"));
  }
  TrainedSet trained(model, *result.tuner, master_of(session, from), *data.objective);
  Trainer trainer(model, *result.tuner, trained, std::move(data), run.train);
  TrainingState state{.steps = trainer.total_steps(),
                      .shards = run.train.shards,
                      .seed = run.train.seed,
                      .run_config = run_options.config,
                      .instruction_set = instruction_set()};
  if (!directory.checkpoint().empty()) {
    const CheckpointInfo info = read_checkpoint_info(directory.checkpoint());
    if (info.state.instruction_set != state.instruction_set)
      Progress::say(text("note: this run was started with ", info.state.instruction_set, "; with ",
                         state.instruction_set, " its bits will differ"));
    load_training_state(directory.checkpoint(), trained, trainer.optimizer());
    trainer.resume_at(info.state.step);
    trainer.best_dev = info.state.best_dev;
  }

  result.trained_scalars = trained.scalars();
  directory.begin(session, *result.tuner, trained, trainer, state);
  Recorder recorder(directory, result);
  const auto start = std::chrono::steady_clock::now();
  result.end = trainer.run(recorder);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.steps = trainer.step();
  result.tokens = double(recorder.tokens());
  result.tokens_per_second = result.seconds > 0 ? result.tokens / result.seconds : 0;
  result.dev_losses = directory.evaluations();
  result.last_loss = last_logged_loss(run.run.directory + "/log.jsonl");
  return result;
}

}  // namespace cambium
