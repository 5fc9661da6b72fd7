#include "experiments/lib/run_directory.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "core/json_difference.h"
#include "core/lines.h"
#include "core/machine.h"
#include "core/places.h"
#include "core/processors.h"
#include "core/threads.h"

namespace cambium {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

const std::string kCheckpoints[] = {"checkpoint.h5", "checkpoint.previous.h5"};  // the newer one first

bool is_temporary(const std::string& name) { return name.starts_with(".") && name.ends_with(".tmp"); }

bool is_ours(const std::string& name) {
  return name == "checkpoint.h5" || name == "checkpoint.previous.h5" || name == "best.h5" || name == "tuner.h5" ||
         name == "config.json" || name == "log.jsonl" || name == "dev.jsonl" || name == "spent.json" ||
         name == "pretraining.json" || name.find("tfevents") != std::string::npos || is_temporary(name);
}

// The first field in which two configurations differ, as "field: old -> new".
std::string difference(json old, json now) {
  for (json* config : {&old, &now}) bring_up_to_date(*config);
  const auto found = first_difference(old, now);
  return found ? text(found->name, ": ", found->left, " then, ", found->right, " now") : "";
}

// Whether it is a checkpoint. A sound one that cannot be read now (a full disk) is an Error: nothing may start anew
// over it.
bool usable(const std::string& path) {
  if (!file_exists(path)) return false;
  try {
    return read_checkpoint_info(path).has_optimizer;
  } catch (const InputError& error) {
    Progress::say(text(error.what(), "; it is left out"));
    return false;
  }
}

void append(const std::string& path, const json& line) {
  std::ofstream log(path, std::ios::app);
  log << line.dump() << "\n";
  log.close();
  CHECK(bool(log), path, " cannot be written (is the disk full?)");
}

// Whether a run was begun in the directory, or nothing at all: other people's files are not ours to write over.
bool holds_a_run(const std::string& directory) {
  const std::string path = directory + "/config.json";
  if (file_exists(path) && !is_directory(path)) {
    const json config = json::parse(read_text_file(path), nullptr, false);
    return config.is_object() && config.contains("base_hash") && config.contains("method") &&
           config.contains("objective");
  }
  return std::ranges::all_of(list_directory(directory), [](const auto& n) { return n == ".lock" || is_temporary(n); });
}

}  // namespace

RunDirectory::RunDirectory(const RunOptions& options)
    : options_(options), log_path_(options.directory + "/log.jsonl"), dev_path_(options.directory + "/dev.jsonl") {
  check_output_directory(options.directory, options.resume || options.overwrite);
  if (!is_directory(options.directory)) return;
  // Directories of others, which are refused, do not even get a lock.
  if (holds_a_run(options.directory) || std::ranges::any_of(kCheckpoints, [&](const std::string& name) {
        return file_exists(options.directory + "/" + name);
      }))
    lock();
  look();
  if (checkpoint_.empty()) return;
  const std::string stored = read_checkpoint_info(checkpoint_).state.run_config;
  const std::string changed = difference(parse_json(stored, checkpoint_), parse_json(options.config, "configuration"));
  check_input(changed.empty(), options.directory, ": this run was started with another configuration, ", changed);
}

void RunDirectory::lock() {
  lock_ = DirectoryLock::try_lock(options_.directory);
  check_input(lock_.has_value(), options_.directory, ": another process is training there");
}

// What is there, and whether it may be used; the directory exists.
void RunDirectory::look() {
  checkpoint_.clear();
  std::vector<std::string> names = list_directory(options_.directory);
  std::erase(names, ".lock");
  if (!names.empty() && options_.resume) {
    for (const std::string& name : kCheckpoints) {
      const std::string path = options_.directory + "/" + name;
      if (!usable(path)) continue;
      checkpoint_ = path;
      break;
    }
    check_input(!checkpoint_.empty() || holds_a_run(options_.directory), options_.directory,
                " holds files, but no run that --resume could continue; give a new directory");
  } else {
    check_output_directory(options_.directory, options_.overwrite);
    check_input(names.empty() || holds_a_run(options_.directory), options_.directory,
                " holds files, but no run that --overwrite could replace; give a new directory");
  }
}

// What an earlier run left: all of it when this one starts anew, else only what a killed one was writing.
void RunDirectory::clear() const {
  for (const std::string& name : list_directory(options_.directory))
    if (checkpoint_.empty() ? is_ours(name) : is_temporary(name)) fs::remove(options_.directory + "/" + name);
}

void RunDirectory::begin(Session& session, Tuner& tuner, const TrainedSet& trained, Trainee& trainee,
                         const TrainingState& state) {
  if (!lock_) {  // the directory was not there; another process may have begun a run in it since
    make_directories(options_.directory);
    lock();
    look();
    check_input(checkpoint_.empty(), options_.directory, ": another process has trained there meanwhile");
  }
  clear();
  write_file(options_.directory + "/config.json", parse_json(options_.config, "configuration").dump(2) + "\n");
  session_ = &session, tuner_ = &tuner, trained_ = &trained, trainee_ = &trainee, state_ = state;
  cut_log(log_path_, trainee.step());
  if (file_exists(dev_path_))
    for (const json& line : cut_log(dev_path_, trainee.step()))
      if (line.contains("loss") && line["loss"].is_number())
        evaluations_.push_back({line["step"].get<int64_t>(), line["loss"].get<double>()});
  events_ = std::make_unique<TensorBoardWriter>(options_.directory, trainee.step());
  if (!options_.progress) return;
  if (!session.model->device().is_gpu())
    Progress::say(text("training with ", threads(), threads() == 1 ? " thread" : " threads", " of ",
                       usable_processors(allowed_processors(), processor_quota()).why, ", kernels for ",
                       instruction_set()));
  progress_ = std::make_unique<Progress>(text("training ", tuner.method()), trainee.total_steps());
  progress_->update(trainee.step());
}

// Keeps the lines of steps up to `step`, and gives them; a line that a killed run left half-written goes too.
std::vector<json> RunDirectory::cut_log(const std::string& path, int64_t step) const {
  std::string kept;
  std::vector<json> lines;
  if (file_exists(path)) {
    for_each_line_of(read_text_file(path), [&](const std::string& line, int64_t) {
      const json entry = json::parse(line, nullptr, false);
      if (entry.is_object() && entry.contains("step") && entry["step"].is_number_integer() &&
          entry["step"].get<int64_t>() <= step)
        kept += line + "\n", lines.push_back(entry);
    });
  }
  write_file(path, kept);
  return lines;
}

void RunDirectory::on_step(const StepReport& r) {
  const json line = {
      {"step", r.step}, {"loss", r.loss}, {"lr", r.lr}, {"grad_norm", r.gradient_norm}, {"tok_s", r.tokens_per_second}};
  append(log_path_, line);
  events_->write(r.step, {{"train/loss", r.loss},
                          {"train/lr", r.lr},
                          {"train/grad_norm", r.gradient_norm},
                          {"train/tok_s", r.tokens_per_second}});
  if (!progress_) return;
  char note[64];
  std::snprintf(note, sizeof note, "loss %.3f, %.0f tokens/s", r.loss, r.tokens_per_second);
  progress_->note(note);
  progress_->update(r.step);
}

void RunDirectory::on_evaluation(int64_t step, double dev_loss, bool best) {
  append(dev_path_, {{"step", step}, {"loss", dev_loss}});
  evaluations_.push_back({step, dev_loss});
  events_->write(step, {{"dev/loss", dev_loss}});
  if (best) save("best.h5", golden(), nullptr);
}

void RunDirectory::on_save(int64_t, bool last) {
  const Golden golden = this->golden();
  // First, so that a run that ended has it: one killed before its last checkpoint is written does its last steps again.
  if (last) save("tuner.h5", golden, nullptr);
  // The old checkpoint keeps its name until the new one takes it; a second name for it becomes "previous" afterwards.
  const std::string path = options_.directory + "/checkpoint.h5",
                    second = options_.directory + "/.checkpoint.previous.tmp";
  std::error_code none;
  fs::remove(second, none);
  if (file_exists(path)) fs::create_hard_link(path, second, none);
  if (file_exists(path) && !file_exists(second)) fs::copy_file(path, second);  // a file system without links
  try {
    save("checkpoint.h5", golden, &trainee_->optimizer());
  } catch (...) {
    fs::remove(second, none);
    throw;
  }
  if (file_exists(second)) fs::rename(second, options_.directory + "/checkpoint.previous.h5");
}

Golden RunDirectory::golden() const { return compute_golden(*session_->model, *tuner_, trainee_->first_examples(3)); }

void RunDirectory::save(const std::string& name, const Golden& golden, const Optimizer* optimizer) {
  state_.step = trainee_->step();
  state_.best_dev = trainee_->best_dev;
  save_checkpoint(options_.directory + "/" + name, *tuner_, *trained_, optimizer, state_, session_->identity, golden);
}

}  // namespace cambium
