// train and evaluate.
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/path_kind.h"
#include "core/places.h"
#include "core/progress.h"
#include "core/signals.h"
#include "experiments/lib/batch_file.h"
#include "experiments/lib/commands/commands.h"
#include "experiments/lib/commands/workers.h"
#include "experiments/lib/taken_positions.h"
#include "experiments/lib/task_data.h"
#include "models/export.h"
#include "models/generation_settings.h"

namespace cambium {
OptionMap option_map(const std::vector<std::string>& list) {
  OptionMap map;
  for (const std::string& option : list) {
    const size_t equals = option.find('=');
    check_input(equals != option.npos && equals > 0, "--option ", option, ": give name=value");
    check_input(map.emplace(option.substr(0, equals), option.substr(equals + 1)).second, "--option ",
                option.substr(0, equals), " is given twice");
  }
  return map;
}

namespace {

using nlohmann::json;

// "0.1" for all places, or the base model's own.
DropoutRates dropout_of(const std::string& option, const ModelConfig& config) {
  if (option == "config") return config.dropout;
  float p = -1;
  const auto [end, error] = std::from_chars(option.data(), option.data() + option.size(), p);
  check_input(error == std::errc() && end == option.data() + option.size() && p >= 0 && p < 1, "--dropout ", option,
              ": give a probability below 1, or config");
  return {p, p, p, 0};
}

TrainData data_of(const TrainCommandOptions& options, Session& session, TrainRun& run) {
  TrainData data;
  if (!options.batches.empty()) {
    data.examples = read_batch_file(options.batches, *session.model, std::array<std::string, 1>());
    run.train.shuffle = false;
    return data;
  }
  const auto task = make_task(options.task, options.data);
  run.words = task->words(), run.labels = task->labels();
  constexpr int64_t kDev = 200;
  return train_data_of(session, *task,
                       {.decision = decision_named(options.decision),
                        .limit = options.limit,
                        .seed = run.train.seed,
                        .dev = options.evaluate ? kDev : 0,
                        .taken = [&] { return taken_positions(session, run); }});
}

}  // namespace

void print_tasks() {
  for (const std::string& name : task_names()) {
    const TaskRecord r = built_in_record(name);
    std::printf("%-17s %s (%s)%s\n", name.c_str(), r.about.c_str(), listed(r.metrics).c_str(),
                r.shipped.empty() ? "" : "; its data ship");
  }
}

namespace {

// What can be refused before the model is read.
void check_run(const Communicator& workers, const TrainCommandOptions& options) {
  check_input(!options.run.run.directory.empty(), "--output is required: the directory of the run");
  check_input(options.task.empty() != options.batches.empty(), "train needs either --task with its data, or --batches");
  check_input(options.run.method.empty() != options.run.tuner_from.empty(),
              "train needs either --tuner METHOD or --tuner-from CHECKPOINT");
  check_input(options.options.empty() || options.run.tuner_from.empty(), "--option ",
              options.options.empty() ? "" : options.options.front(), " is for a new tuner: the one in ",
              options.run.tuner_from, " keeps its own options; leave --option out");
  for (const auto& [given, name] : {std::pair{!options.data.empty(), "--data"},
                                    {options.limit != 0, "--limit"},
                                    {!options.decision.empty(), "--decision"}})
    check_input(!given || options.batches.empty(), name, " is for a --task; --batches takes its file as it is: leave ",
                name, " out");
  if (!options.run.tuner_from.empty()) check_tuner(options.run.tuner_from);
  if (!options.batches.empty()) check_path(options.batches, Wanted::json);
  check_options(options.run.train);
  check_shards(workers, options.run.train.shards);
  if (workers.is_first())
    check_output_directory(options.run.run.directory, options.run.run.resume || options.run.run.overwrite);
}

// The run, and what it learns from.
std::pair<TrainRun, TrainData> prepared(const TrainCommandOptions& options, Session& session) {
  TrainRun run = options.run;
  run.options = option_map(options.options);
  run.train.dropout = dropout_of(options.dropout, session.model->config());
  TrainData data = data_of(options, session, run);
  return {std::move(run), std::move(data)};
}

void note_what_cannot_be_exported(const Session& session) {
  try {
    huggingface_config(session.model->config());
  } catch (const Error& error) {
    Progress::say(text("note: merged, this model can be written as .h5 alone: ", error.what()));
  }
}

json summary_of(const TrainResult& result, const std::string& directory) {
  return {{"steps", result.steps},
          {"loss", std::isfinite(result.last_loss) ? json(result.last_loss) : json()},
          {"seconds", result.seconds},
          {"tok_s", result.tokens_per_second},
          {"trainable", result.trained_scalars},
          {"checkpoint", directory + "/checkpoint.h5"},
          {"tuner", directory + "/tuner.h5"}};
}

void say_result(const TrainResult& result, const std::string& directory) {
  Progress::say(text(result.tuner->method(), ": ", result.trained_scalars, " parameters trained for ", result.steps,
                     " steps", result.losses.empty() ? ", all before" : " in " + print_duration(result.seconds),
                     std::isfinite(result.last_loss) ? text(", last loss ", result.last_loss) : "", ", ", directory,
                     "/tuner.h5"));
}

// Several runs at once; 1 where one failed, 75 where they were stopped.
int run_many(Communicator& workers, const CommonOptions& common, const TrainCommandOptions& options) {
  const std::vector<TrainCommandOptions> list = read_runs_file(options, common.seed);
  const auto name = [&](size_t i) { return text(options.runs, ": runs[", i, "]"); };
  for (size_t i = 0; i < list.size(); ++i) reading(name(i), [&] { check_run(workers, list[i]); });
  Session session = open_session(options.model, common);
  std::vector<TrainRun> runs;
  std::vector<TrainData> data;
  for (size_t i = 0; i < list.size(); ++i)
    reading(name(i), [&] {
      auto [run, its_data] = prepared(list[i], session);
      run.run.progress = list.size() == 1;
      runs.push_back(std::move(run)), data.push_back(std::move(its_data));
    });
  note_what_cannot_be_exported(session);
  catch_stop_signals();
  const std::vector<TrainResult> results = train_together(session, runs, std::move(data), name, workers);
  json all = json::array();
  std::string failed;
  bool stopped = false;
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string& directory = runs[i].run.directory;
    json summary = summary_of(results[i], directory);
    summary["output"] = directory;
    if (results[i].error) {
      summary["error"] = message_of(results[i].error);
      failed += (failed.empty() ? "" : "\n") + directory + ": " + message_of(results[i].error);
    } else if (results[i].end == TrainEnd::stopped) {
      Progress::say(text(directory, ": stopped after step ", results[i].steps, "; --resume continues from there"));
      stopped = true;
    } else if (!common.json) {
      say_result(results[i], directory);
    }
    all.push_back(std::move(summary));
  }
  if (common.json && workers.is_first()) std::cout << json{{"runs", all}}.dump() << "\n";
  CHECK(failed.empty(), failed);
  return stopped ? kStoppedExitCode : 0;
}

int run_one(Communicator& workers, const CommonOptions& common, const TrainCommandOptions& options) {
  check_run(workers, options);
  Session session = open_session(options.model, common);
  TrainCommandOptions own = options;
  own.run.train.seed = common.seed;
  own.run.describe = !common.quiet;
  auto [run, data] = prepared(own, session);
  note_what_cannot_be_exported(session);
  catch_stop_signals();
  const TrainResult result = train(session, run, std::move(data), workers);
  if (result.end == TrainEnd::stopped) {
    Progress::say(text("stopped after step ", result.steps, "; --resume continues from there"));
    return kStoppedExitCode;
  }
  if (!common.json) say_result(result, run.run.directory);
  else if (workers.is_first()) std::cout << summary_of(result, run.run.directory).dump() << "\n";
  return 0;
}

}  // namespace

int run_train(const CommonOptions& common, const TrainCommandOptions& options) {
  return with_workers(common, [&](Communicator& workers, const CommonOptions& own) {
    return options.runs.empty() ? run_one(workers, own, options) : run_many(workers, own, options);
  });
}

int run_evaluate(const CommonOptions& common, const EvaluateOptions& options) {
  check_input(!options.output.empty(), "--output names no directory");
  if (file_exists(options.output))
    check_input(is_directory(options.output) && (options.overwrite || list_directory(options.output).empty()),
                options.output, " is not empty; --overwrite replaces what is there");
  else check_new_directory(options.output);
  if (!options.tuner.empty()) check_tuner(options.tuner);
  check_input(options.split != "train", "--split train: there are dev and test");
  const auto task = make_task(options.task, options.data);
  Session session = open_session(options.model, common, true, !options.tuner.empty());
  Hooks none;
  std::unique_ptr<Tuner> tuner =
      options.tuner.empty() ? nullptr : open_tuner(options.tuner, session, options.force_base);
  Hooks& hooks = tuner ? static_cast<Hooks&>(*tuner) : none;
  GenerationOptions generation = task->generation();
  generation.max_new_tokens = options.max_new_tokens.value_or(generation.max_new_tokens);
  generation.beams = options.beams, generation.batch_size = options.batch_size, generation.seed = common.seed;
  GenerationOptions own = generation;
  auto settings =
      apply_generation_settings(session.source->path(), session.model->config(), {"max_new_tokens", "num_beams"}, own);
  settings.used.insert(settings.used.end(), settings.not_used.begin(), settings.not_used.end());
  if (!settings.used.empty() && !session.model->config().is_encoder())
    Progress::say(text("note: outputs are written as the task says, without the model's own ", listed(settings.used)));
  const EvaluationResult result = evaluate_task(session, hooks, *task, decision_named(options.decision),
                                                split_named(options.split), options.limit, generation);

  nlohmann::ordered_json scores;
  for (const auto& [name, value] : result.scores) scores[name] = value;
  scores["inputs"] = result.inputs.size();
  scores["new_tokens"] = result.new_tokens;
  scores["seconds"] = result.seconds;
  make_directories(options.output);
  std::string outputs, references;
  for (size_t i = 0; i < result.outputs.size(); ++i) {
    outputs += result.outputs[i] + "\n";
    for (const std::string& r : result.references[i]) references += r + "\n";
    references += "\n";
  }
  write_file(options.output + "/outputs.txt", outputs);
  write_file(options.output + "/references.txt", references);
  write_file(options.output + "/scores.json", scores.dump(2) + "\n");
  if (common.json) std::cout << scores.dump() << "\n";
  else
    for (const auto& [name, value] : scores.items()) std::printf("%-12s %s\n", name.c_str(), value.dump().c_str());
  return 0;
}

}  // namespace cambium
