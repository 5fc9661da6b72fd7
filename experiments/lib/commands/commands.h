// The subcommands of `cambium`: options as plain structs, and what each does. Each returns the exit code.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "experiments/lib/session.h"
#include "experiments/lib/train_run.h"

namespace cambium {

// The method's options of --option name=value.
OptionMap option_map(const std::vector<std::string>&);

struct FetchOptions {
  std::string name;
};
int run_fetch(const CommonOptions&, const FetchOptions&);

struct TokenizeOptions {
  std::string model, input, output;
  bool decode = false, special = true;
};
int run_tokenize(const CommonOptions&, const TokenizeOptions&);

struct ForwardOptions {
  std::string model, input, output;
  std::vector<std::string> tuners;
  bool gradients = false, force_base = false;
};
int run_forward(const CommonOptions&, const ForwardOptions&);

struct TrainCommandOptions {
  std::string model, task, data, batches, dropout = "0", decision;
  std::string runs;                  // a file of several runs, instead of all that belongs to one
  std::vector<std::string> options;  // k=v
  int64_t limit = 0;
  bool evaluate = true;  // the dev loss now and then
  TrainRun run;
};
int run_train(const CommonOptions&, const TrainCommandOptions&);
// The runs of options.runs; model, --resume, --overwrite and --force-base are those of `options`, seed: of a run that
// names none. Throws InputError, naming file, run and key.
std::vector<TrainCommandOptions> read_runs_file(const TrainCommandOptions& options, uint64_t seed);

struct GenerateOptions {
  std::string model, input, output, format = "jsonl";
  std::vector<std::string> tuners;
  bool force_base = false;
  GenerationOptions generation;
  std::set<std::string> given;      // generation_config.json's names of what the command line says
  bool ignore_settings = false;     // do not look into that file
  std::vector<std::string> forbid;  // "198", or "12+13" for a sequence
};
int run_generate(const CommonOptions&, const GenerateOptions&);

struct ReportOptions {
  std::string results, output;
};
int run_report(const CommonOptions&, const ReportOptions&);

// The built-in tasks with what they ask, how their answers are scored, and whether their data ship; a line each.
void print_tasks();

struct EvaluateOptions {
  std::string model, tuner, task, data, split = "test", output, decision;
  bool force_base = false, overwrite = false;
  int64_t limit = 0;
  std::optional<int64_t> max_new_tokens;
  int64_t beams = 1, batch_size = 32;
};
int run_evaluate(const CommonOptions&, const EvaluateOptions&);

struct ScoreOptions {
  std::string metric, references, outputs;
};
int run_score(const CommonOptions&, const ScoreOptions&);

struct InspectOptions {
  std::vector<std::string> files;  // one, or two to compare
  std::string model;
  bool check = false, diff = false;
};
int run_inspect(const CommonOptions&, const InspectOptions&);
// The part of run_inspect that compares two.
int run_diff(const CommonOptions&, const std::string& first, const std::string& second);

struct ConvertOptions {
  std::string input, output;
  std::string to;     // peft: a tuner of ours as its directory
  std::string model;  // the base of a PEFT directory
};
int run_convert(const CommonOptions&, const ConvertOptions&);

struct MergeOptions {
  std::string model, output;
  std::vector<std::string> tuners;  // one, or several to join
  bool force_base = false;
  bool force = false;  // write what differs by more than rounding
  bool undo = false;   // take the tuner out of a merged model
  std::string join;    // average, cat, ...: several LoRAs to one
  std::string weights;
  double density = 0.5;
};
int run_merge(const CommonOptions&, const MergeOptions&);
// The part of run_merge that makes one LoRA of several.
int run_join(const CommonOptions&, const MergeOptions&);

struct BenchOptions {
  std::string what, shape = "gpt2", tuner = "lora";
  std::vector<std::string> options;  // of the tuner
  int64_t batch = 8, length = 64, new_tokens = 32, steps = 5;
  int64_t layers = 0, width = 0;  // instead of the shape's; 0: its own
  bool kernels = false;           // each kernel by itself, instead of `what`
};
int run_bench(const CommonOptions&, const BenchOptions&);
int run_kernel_bench(const CommonOptions&, const BenchOptions&);

// Reads the arguments, runs the subcommand, prints errors; the exit code of the program.
int command_line(int argc, char** argv);

}  // namespace cambium
