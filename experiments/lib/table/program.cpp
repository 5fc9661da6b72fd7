#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>

#include "core/printable.h"
#include "core/progress.h"
#include "core/signals.h"
#include "experiments/lib/commands/arguments.h"
#include "experiments/lib/table/experiment.h"
#include "experiments/lib/table/forecast.h"
#include "experiments/lib/table/growing_table.h"

namespace cambium {
namespace {

struct ProgramOptions {
  ExperimentOptions experiment;
  std::string results = "results", format = "text", cells, output;
  std::optional<int64_t> cell;
};

// The directory, or the lowest one above it that is there.
std::filesystem::path existing(const std::string& directory) {
  namespace fs = std::filesystem;
  fs::path path = fs::absolute(fs::path(directory) / "").parent_path();  // without a slash at its end
  while (!fs::exists(path) && path.has_relative_path()) path = path.parent_path();
  return path;
}

// One run of the program on a configured experiment.
class Program {
 public:
  Program(Experiment& experiment, const ProgramOptions& options)
      : experiment_(experiment), options_(options), cells_(experiment.cells()),
        chosen_(selected_cells(cells_.size(), options.cell, options.cells)),
        store_(options.results + "/" + experiment.name() + "/" + options.experiment.preset),
        kept_(existing(options.results)), labels_(cell_labels(cells_)), growing_(experiment.row_columns()) {}

  int plan() const;
  int run();
  int show() const;

 private:
  enum class Outcome { done, skipped, failed };
  Outcome run_cell(size_t number);
  bool is_whole_grid() const { return !options_.cell && options_.cells.empty(); }
  std::string said_forecast() const;
  void forecast();
  void show_row(size_t number, double seconds);
  Report report() const;

  Experiment& experiment_;
  const ProgramOptions& options_;
  std::vector<Cell> cells_;
  std::vector<size_t> chosen_;
  ResultStore store_;
  std::filesystem::path kept_;  // was there before
  std::vector<std::string> labels_;
  GrowingTable growing_;
  std::map<size_t, double> to_do_;                // cells to run, with their forecast; below 0: not known
  double done_forecast_ = 0, done_measured_ = 0;  // seconds of the cells that are done
};

// "prefix, length 5"
std::string row_of(const Cell& c) { return c.method + (c.place.empty() ? "" : ", " + c.place); }

std::string known(int64_t count) { return count < 0 ? "?" : format_count(double(count)); }

int Program::plan() const {
  ReportTable table{.title = text("Cells of ", experiment_.name(), ", preset ", options_.experiment.preset),
                    .columns = {{"cell"},
                                {"model", false},
                                {"task", false},
                                {"method", false},
                                {"seed"},
                                {"state", false},
                                {"steps"},
                                {"tokens to train on"},
                                {"tokens to write"},
                                {"estimated time"}}};
  double seconds = 0;
  bool all_known = true;
  for (const size_t i : chosen_) {
    const Cell& c = cells_[i];
    const CellCost cost = experiment_.cost(c);
    const ResultStore::State state = store_.find(c).state;
    table.rows.push_back({std::to_string(i), c.model, c.task, row_of(c), std::to_string(c.seed),
                          state == ResultStore::State::finished  ? "finished"
                          : state == ResultStore::State::damaged ? "damaged: runs again"
                                                                 : "to do",
                          known(cost.steps), known(cost.train_tokens), known(cost.decode_tokens),
                          cost.seconds < 0 ? "?" : print_duration(cost.seconds)});
    if (state == ResultStore::State::finished) continue;
    if (cost.seconds < 0) all_known = false;
    else seconds += cost.seconds;
  }
  table.notes.push_back(text("To do: about ", print_duration(seconds),
                             all_known ? "" : ", and what is unknown (is the model here? `cambium fetch` brings it)",
                             said_forecast(), "."));
  table.notes.push_back(text("One cell a job under Slurm: sbatch --array=", chosen_.front(), "-", chosen_.back(),
                             " --wrap \"", options_.experiment.command, " --cell \\$SLURM_ARRAY_TASK_ID\""));
  std::cout << render({.title = table.title, .tables = {table}}, report_format_named(options_.format));
  return 0;
}

// Removes a cell's folder in which nothing was begun, and the directories above it that are empty then, up to `kept`.
void forget_empty(const std::string& cell_folder, const std::filesystem::path& kept) {
  namespace fs = std::filesystem;
  std::error_code none;
  fs::path folder = fs::absolute(cell_folder);
  const auto entries = std::distance(fs::directory_iterator(folder, none), fs::directory_iterator());
  if (entries == 1) fs::remove(folder / ".lock", none);
  while (folder != kept && fs::is_directory(folder, none) && fs::is_empty(folder, none) && fs::remove(folder, none))
    folder = folder.parent_path();
}

std::string Program::said_forecast() const {
  const std::string how = experiment_.calibration();
  return how.empty() ? "" : " (" + how + ")";
}

// Says what will be done, and how long that will take, before it begins.
void Program::forecast() {
  constexpr size_t kShown = 12;
  ReportTable table{
      .title = text(experiment_.name(), ", preset ", options_.experiment.preset, ": ", experiment_.summary()),
      .columns = {{"cell"}, {"method", false}, {"steps"}, {"tokens to train on"}, {"expected time"}}};
  double seconds = 0;
  for (const size_t i : chosen_)
    if (store_.find(cells_[i]).state != ResultStore::State::finished) to_do_[i] = -1;
  if (to_do_.empty() || options_.experiment.common.quiet) return;
  bool all_known = true;
  for (auto& [i, expected] : to_do_) {
    const CellCost cost = experiment_.cost(cells_[i]);
    expected = cost.seconds;
    all_known &= expected >= 0;
    seconds += std::max(0.0, expected);
    if (table.rows.size() < kShown)
      table.rows.push_back({std::to_string(i), labels_[i], known(cost.steps), known(cost.train_tokens),
                            expected < 0 ? "?" : print_duration(expected)});
  }
  if (to_do_.size() > kShown)
    table.notes.push_back(text("... and ", to_do_.size() - kShown, " more (plan lists them)"));
  if (all_known)
    table.notes.push_back(text("All of it: about ", print_duration(seconds), said_forecast(),
                               ". Safe to interrupt: the same command continues."));
  std::string lines = render({.title = table.title, .tables = {table}}, ReportFormat::text);
  while (lines.ends_with('\n')) lines.pop_back();
  Progress::say(lines);
  Progress::say("");
}

// Of a cell that has just been done.
void Program::show_row(size_t number, double seconds) {
  const ResultStore::Found found = store_.find(cells_[number]);
  if (found.state != ResultStore::State::finished) return;
  if (to_do_[number] > 0) done_forecast_ += to_do_[number], done_measured_ += seconds;
  to_do_.erase(number);
  growing_.add(labels_[number], experiment_.row(found.result));
  if (to_do_.empty() && is_whole_grid()) return;  // the report comes next
  std::string title = text(chosen_.size() - to_do_.size(), " of ", chosen_.size(), " cells done");
  double left = 0;
  for (const auto& [_, expected] : to_do_) left += expected;
  const bool all_known = std::all_of(to_do_.begin(), to_do_.end(), [](const auto& c) { return c.second >= 0; });
  if (!to_do_.empty() && all_known)
    title += text(", about ", print_duration(seconds_left(left, done_forecast_, done_measured_)), " left");
  Progress::say(growing_.rendered(title));
}

Program::Outcome Program::run_cell(size_t number) {
  const Cell& cell = cells_[number];
  const std::string what = text("cell ", number, " (", row_of(cell), ", seed ", cell.seed, ")");
  const auto finished = [&] {
    const ResultStore::Found found = store_.find(cell);
    if (found.state == ResultStore::State::damaged) Progress::say(text(found.damage, "; ", what, " runs again"));
    return found.state == ResultStore::State::finished;
  };
  if (finished()) {
    Progress::say(text(what, ": finished before"));
    return Outcome::skipped;
  }
  const std::optional<DirectoryLock> claim = store_.claim(cell);
  if (!claim) {
    Progress::say(text(what, ": another process is at it"));
    return Outcome::skipped;
  }
  if (finished()) return Outcome::skipped;  // while we waited
  try {
    const auto start = std::chrono::steady_clock::now();
    const double expected = to_do_.count(number) ? to_do_[number] : -1;
    Progress::say(what + (expected >= 0 ? ": about " + print_duration(expected) : ""));
    store_.save(experiment_.run(cell, store_.run_folder(cell)));
    show_row(number, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    return Outcome::done;
  } catch (const InputError&) {
    forget_empty(store_.run_folder(cell), kept_);
    throw;
  } catch (const Stopped&) {
    throw;
  } catch (const Error& error) {
    print_error(text(what, ": ", error.what()));
    return Outcome::failed;
  }
}

int Program::run() {
  report_format_named(options_.format);
  catch_stop_signals();
  forecast();
  bool failed = false;
  for (const size_t i : chosen_) {
    if (stop_signal()) throw Stopped("stopped between cells");
    try {
      failed |= run_cell(i) == Outcome::failed;
    } catch (const Stopped&) {
      throw Stopped(text("stopped in cell ", i, " (", cells_[i].method, "); the same command continues from here"));
    }
  }
  if (!is_whole_grid()) return failed ? 1 : 0;  // a job of an array: show prints the table
  const Report all = report();
  std::cout << render(all, report_format_named(options_.format));
  const std::string page = store_.folder() + "/report.html";
  write_file(page, render(all, ReportFormat::html));
  std::cout << (options_.format == "text" ? "\nReport: " + page + "\nResults: " + store_.folder() +
                                                "/cells, checkpoints: " + store_.folder() + "/runs\n"
                                          : "")
            << std::flush;
  return failed ? 1 : 0;
}

// Of the chosen cells.
Report Program::report() const {
  std::map<size_t, ResultStore::Found> found;
  std::vector<const CellResult*> results(cells_.size());
  for (const size_t i : chosen_) {
    const ResultStore::Found& f = found.emplace(i, store_.find(cells_[i])).first->second;
    if (f.state == ResultStore::State::finished) results[i] = &f.result;
  }
  Report report = experiment_.report(results);
  for (const size_t i : chosen_) {
    if (results[i]) continue;
    const Cell& c = cells_[i];
    report.missing.push_back(text("cell ", i, ": ", row_of(c), " on ", c.model, ", ", c.task, ", seed ", c.seed,
                                  found[i].damage.empty() ? "" : "; " + found[i].damage));
  }
  if (!report.missing.empty()) report.missing.push_back("to do the rest: " + options_.experiment.command);
  return report;
}

int Program::show() const {
  const std::string rendered = render(report(), report_format_named(options_.format));
  if (options_.output.empty()) std::cout << rendered << std::flush;
  else write_file(options_.output, rendered);
  return 0;
}

void add_options(CLI::App& command, ProgramOptions& o, const Experiment& experiment) {
  std::string presets;
  for (const Experiment::Preset& p : experiment.presets()) presets += (presets.empty() ? "" : ", ") + p.name;
  ExperimentOptions& e = o.experiment;
  command.add_option("--preset", e.preset, presets)->capture_default_str();
  command.add_option("--methods", e.methods, "names with commas between them, or all (default: the preset's)");
  command.add_option("--tasks", e.tasks, "names with commas between them (default: the preset's)");
  command.add_option(
      "--model", e.model,
      "Hugging Face directory, .gguf or .h5 file, or the name of a fetched model (default: the preset's)");
  command.add_option("--data", e.data,
                     "directory of the task's official files (default: those that ship with the program)");
  command
      .add_option("--only", e.only,
                  "these values of another axis of the grid: length=5,10 (may be given for several axes)")
      ->take_all()
      ->type_name("AXIS=VALUES");
  command.add_option("--seeds", e.seeds, "so many seeds, from --seed on (default: the preset's)")
      ->check(CLI::PositiveNumber);
  command.add_option("--results", o.results, "where results, checkpoints and the report go")->capture_default_str();
  command.add_option("--format", o.format, "text, markdown, latex or html")->capture_default_str();
  command.add_option("--cell", o.cell, "only the cell of this number (plan lists them)");
  command.add_option("--cells", o.cells, "only these: 0-3");
  add_common(command, e.common, false);
}

std::string help_text(const Experiment& experiment) {
  std::string out = "Presets:\n";
  for (const Experiment::Preset& p : experiment.presets())
    out += "  " + p.name + std::string(p.name.size() < 11 ? 11 - p.name.size() : 1, ' ') + p.description + "\n";
  return out +
         "\nA table is a grid of cells: model x method x task x seed. Each finished cell is one HDF5 file, and run "
         "skips it; an\n"
         "interrupted cell continues from its last checkpoint. Several processes may run on the same --results.\n\n"
         "Start with:  " +
         experiment.name() +
         " plan\n"
         "             " +
         experiment.name() +
         " run --preset smoke\n"
         "Exit codes: 0 done, 1 a cell failed, 2 unusable arguments or input, 75 stopped by a signal after saving.";
}

// A word as a shell reads it back.
std::string quoted(const std::string& word) {
  const bool plain =
      !word.empty() &&
      word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,=:+@%") == word.npos;
  if (plain) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// The command that runs the whole grid which these arguments describe, whatever they do with it.
std::string run_command(int argc, char** argv) {
  std::string line = argc ? std::string(argv[0]) : "";
  line = quoted(line.substr(line.find_last_of('/') + 1)) + " run";
  for (int i = 2; i < argc; ++i) {
    const std::string word = argv[i], name = word.substr(0, word.find('='));
    const bool other = name == "--cell" || name == "--cells" || name == "--format" || name == "--output";
    if (!other) line += " " + quoted(word);
    else if (word.find('=') == word.npos) ++i;  // its value too
  }
  return line;
}

}  // namespace

int experiment_program(int argc, char** argv, Experiment& experiment) {
  CLI::App app(experiment.description(), experiment.name());
  ProgramOptions options;
  options.experiment.preset = "quickstart";
  options.experiment.command = run_command(argc, argv);
  int (*action)(Program&) = nullptr;
  app.require_subcommand(1);
  app.footer(help_text(experiment));
  CLI::App* plan = app.add_subcommand("plan", "List the cells with what they cost");
  CLI::App* run = app.add_subcommand("run", "Run the cells that are not finished, and print the table");
  CLI::App* show = app.add_subcommand("show", "Print what is finished, and what is missing");
  for (CLI::App* command : {plan, run, show}) add_options(*command, options, experiment);
  show->add_option("--output", options.output, "file (default: standard output)");
  plan->callback([&] { action = [](Program& p) { return p.plan(); }; });
  run->callback([&] { action = [](Program& p) { return p.run(); }; });
  show->callback([&] { action = [](Program& p) { return p.show(); }; });
  return parse_and_run(app, argc, argv, options.experiment.common, [&] {
    experiment.configure(options.experiment);
    Program program(experiment, options);
    return action(program);
  });
}

}  // namespace cambium
