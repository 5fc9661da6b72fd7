#include "experiments/lib/commands/train_arguments.h"

#include <charconv>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/path_kind.h"
#include "experiments/lib/commands/help.h"
#include "experiments/lib/tasks/task.h"
#include "tuning/methods.h"

namespace cambium {
namespace {

// "lora_b=16"
RateFactor rate_factor_of(const std::string& option) {
  const size_t equals = option.find('=');
  RateFactor f{option.substr(0, equals)};
  const std::string number = equals == option.npos ? "" : option.substr(equals + 1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), f.factor);
  if (f.part.empty() || number.empty() || error != std::errc() || end != number.data() + number.size())
    throw CLI::ValidationError(text("--lr-factor ", option, ": give a part of names and a factor, as lora_b=16"));
  return f;
}

void add_optimizer(CLI::App& c, TrainOptions& t) {
  OptimizerOptions& o = t.optimizer_options;
  c.add_option("--optimizer", t.optimizer, "adamw, adafactor or sgd")->capture_default_str();
  c.add_option("--lr", t.lr, "learning rate (default: the method's)")->check(CLI::PositiveNumber)->type_name("FLOAT");
  c.add_option_function<std::vector<std::string>>(
       "--lr-factor",
       [&o](const std::vector<std::string>& list) {
         for (const std::string& option : list) o.rate_factors.push_back(rate_factor_of(option));
       },
       "tensors with PART in their names learn at so many times the rate, as lora_b=16; may come several times")
      ->allow_extra_args(false);
  c.add_option("--schedule", t.schedule, "constant, linear or cosine")->capture_default_str();
  c.add_option("--warmup", t.warmup, "steps, or a share of all (6%)")->capture_default_str();
  c.add_option("--weight-decay", o.weight_decay, "of every trained tensor")->capture_default_str();
  c.add_option("--no-decay", o.no_decay, "but not of those with such parts in their names, as bias,norm")
      ->delimiter(',')
      ->allow_extra_args(false);
  c.add_option("--beta1", o.beta1, "of AdamW")->capture_default_str();
  c.add_option("--beta2", o.beta2, "of AdamW")->capture_default_str();
  c.add_option("--epsilon", o.epsilon, "of AdamW")->capture_default_str();
  c.add_option("--momentum", o.momentum, "of SGD");
  c.add_option("--decay-rate", o.decay_rate, "of Adafactor: its second moment keeps 1 - step^-rate")
      ->capture_default_str();
  c.add_option("--initial-step", o.initial_step, "of Adafactor: steps that count as done before the first");
  c.add_option("--update-clip", o.clip, "of Adafactor: largest root mean square of an update")->capture_default_str();
  c.add_option("--factor-min-dim", o.factor_min_dim, "of Adafactor: smallest side of matrices whose state is factored")
      ->capture_default_str();
  c.add_option("--epsilon1", o.epsilon1, "of Adafactor: added to squared gradients")->capture_default_str();
  c.add_option("--epsilon2", o.epsilon2, "of Adafactor: least scale of a parameter")->capture_default_str();
  c.add_flag("--scale-by-parameter", o.scale_by_parameter,
             "of Adafactor: rates times the parameter's root mean square");
  c.add_flag("--decay-times-lr", o.decay_times_lr, "of Adafactor: weight decay times the rate, as AdamW has it");
  c.add_option("--clip", t.clip, "largest norm of the gradient; 0: off")->capture_default_str();
}

}  // namespace

CLI::Option* add_task(CLI::App& c, std::string& task, std::string& data) {
  std::string known;
  try {
    known = listed(task_names());
  } catch (const Error&) {  // help must not fail where the records are not found: the task that is asked for says so
    known = "none, the data of this program were not found";
  }
  CLI::Option* option =
      c.add_option("--task", task, text("task: ", known, "; or FILE.json, a task of your own (docs/tasks.md)"));
  c.add_option("--data", data,
               "directory of the task's files (default: the data that ship with the program; of FILE.json: its own)");
  return option;
}

void add_task_list(CLI::App& c) {
  c.add_flag_callback(
       "--list-tasks", [] { print_tasks(), throw CLI::Success(); }, "what the tasks are, and end")
      ->trigger_on_parse();
}

void add_run_options(CLI::App& c, TrainCommandOptions& o) {
  TrainRun& run = o.run;
  TrainOptions& t = run.train;
  c.add_option("--tuner", run.method, text("method: ", listed(tuner_methods())));
  c.add_option("--option", o.options, "option of the method, as name=value; may come several times")
      ->allow_extra_args(false);
  c.add_option("--tuner-from", run.tuner_from, "start from the tuner in a checkpoint");
  add_task(c, o.task, o.data);
  c.add_option("--decision", o.decision,
               "how a model tells the class of a classification task: text, words (label words at a position), head, "
               "or auto (encoders head, others text)");
  c.add_option("--batches", o.batches, "batch.json instead of a task: in its order, without shuffling");
  c.add_option("--output", run.run.directory, "directory of the run");
  add_optimizer(c, t);
  c.add_option("--batch-size", t.batch_size, "sequences a step")->capture_default_str();
  c.add_option("--epochs", t.epochs, "times through the data")->capture_default_str();
  c.add_option("--steps", t.steps, "steps instead of epochs");
  c.add_option("--shards", t.shards,
               "pieces of a batch, a power of two: less memory, shared by the workers of mpirun; stored with the run")
      ->capture_default_str();
  c.add_option("--dropout", o.dropout, "probability, or config for the model's own")->capture_default_str();
  c.add_option("--label-smoothing", t.label_smoothing, "share of the target that is spread over the vocabulary");
  c.add_option("--z-loss", t.z_loss, "factor of the squared logarithm of the softmax's sum, added to the loss");
  c.add_option("--limit", o.limit, "so many training examples, drawn from the seed");
  c.add_flag_callback(
      "--no-shuffle", [&o] { o.run.train.shuffle = false; }, "keep the order of the data");
  c.add_flag_callback(
      "--no-eval", [&o] { o.evaluate = false; }, "no dev loss (and no best.h5)");
  c.add_option("--save-every", t.save_every, "steps between checkpoints (default: at the end only)");
  c.add_option("--eval-every", t.eval_every, "steps between dev losses (default: at the end of each epoch)");
  c.add_option("--report-every", t.report_every,
               "steps after which their losses are read from a GPU, which works on meanwhile (default: 1 on the CPU, "
               "10 on a GPU)");
  c.add_flag("--recompute", t.recompute,
             "keep only layers' inputs and compute them again in backward: less memory, a third more time");
}

namespace {

using nlohmann::json;

// A value as it would stand behind an option's name and "=".
std::string argument_of(const json& value, const CLI::Option& option, const std::string& where) {
  const std::string type = option.get_type_name();
  const bool number = type == "INT" || type == "UINT" || type == "FLOAT";
  check_input(value.is_number() || (value.is_string() && !number && !value.get<std::string>().empty()), where, " = ",
              brief(value), number ? " is no number" : " is neither a text nor a number");
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// The arguments that one key stands for.
std::vector<std::string> arguments_of(const std::string& key, const json& value, const CLI::Option& option,
                                      const std::string& where) {
  std::vector<std::string> all;
  if (key == "options") {
    check_input(value.is_object(), where, " = ", brief(value), " is no object of the method's options");
    for (const auto& [name, of] : value.items())
      all.push_back("--option=" + name + "=" + argument_of(of, option, where + "." + name));
  } else if (option.get_expected_max() == 0) {  // a flag
    check_input(value.is_boolean(), where, " = ", brief(value), " is neither true nor false");
    if (value.get<bool>()) all.push_back("--" + key);
  } else if (value.is_array()) {
    check_input(option.get_expected_max() > 1, where, " = ", brief(value), ": it has one value");
    for (const json& one : value) all.push_back("--" + key + "=" + argument_of(one, option, where));
  } else {
    all.push_back("--" + key + "=" + argument_of(value, option, where));
  }
  return all;
}

TrainCommandOptions run_of(const json& object, const TrainCommandOptions& shared, uint64_t seed,
                           const std::string& where) {
  check_input(object.is_object(), where, ": ", brief(object), " is no object");
  TrainCommandOptions run;
  run.run.train.seed = seed;
  CLI::App app;
  add_run_options(app, run);
  app.add_option("--seed", run.run.train.seed);
  std::vector<std::string> names, arguments;
  for (const CLI::Option* option : app.get_options())
    for (const std::string& name : option->get_lnames())
      if (name != "help") names.push_back(name == "option" ? "options" : name);
  for (const auto& [given, value] : object.items()) {
    std::string key = given;
    std::replace(key.begin(), key.end(), '_', '-');
    check_input(std::find(names.begin(), names.end(), key) != names.end(), where, ": there is no \"", given, "\"",
                suggestion(key, names), "; keys are what belongs to one run of `cambium train`, without dashes");
    const CLI::Option* option = app.get_option(key == "options" ? "--option" : "--" + key);
    const auto own = arguments_of(key, value, *option, where + "." + given);
    arguments.insert(arguments.end(), own.begin(), own.end());
  }
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    throw InputError(text(where, ": ", error.what()));
  }
  check_input(!run.run.run.directory.empty(), where, ": \"output\", the directory of the run, is missing");
  run.model = shared.model;
  run.run.run.resume = shared.run.run.resume, run.run.run.overwrite = shared.run.run.overwrite;
  run.run.force_base = shared.run.force_base;
  return run;
}

}  // namespace

std::vector<TrainCommandOptions> read_runs_file(const TrainCommandOptions& shared, uint64_t seed) {
  const std::string& path = shared.runs;
  check_path(path, Wanted::json);
  const json file = parse_json_file(path);
  check_input(file.is_object() && file.size() == 1 && file.contains("runs") && file["runs"].is_array(), path,
              ": it needs one list, \"runs\", and nothing beside it");
  check_input(!file["runs"].empty(), path, ": \"runs\" is empty");
  std::vector<TrainCommandOptions> all;
  std::map<std::filesystem::path, size_t> outputs;
  for (size_t i = 0; i < file["runs"].size(); ++i) {
    const std::string where = text(path, ": runs[", i, "]");
    all.push_back(run_of(file["runs"][i], shared, seed, where));
    const std::string& output = all.back().run.run.directory;
    const auto place = std::filesystem::weakly_canonical(std::filesystem::absolute(output) / "");
    const auto [other, is_new] = outputs.emplace(place, i);
    check_input(is_new, where, ": its output ", output, " is that of runs[", other->second, "], too");
  }
  return all;
}

}  // namespace cambium
