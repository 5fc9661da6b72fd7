// The command line of `pretrain`.
#include "experiments/lib/commands/arguments.h"
#include "experiments/lib/commands/help.h"
#include "experiments/lib/pretrain/pretrain.h"

namespace cambium {
namespace {

void add_data(CLI::App& app, PretrainOptions& o) {
  app.add_option("--text", o.texts, "text files (UTF-8, may be packed by xz); each is a document")->required();
  app.add_option("--dev", o.dev, "text files to evaluate on (default: the end of the texts)");
  app.add_option("--dev-blocks", o.dev_blocks, "evaluate on at most so many blocks")->capture_default_str();
  app.add_option(
      "--tokens", o.folder,
      "directory of token files and learned vocabularies, shared between runs (default: tokens beside --output)");
  app.add_option("--length", o.length, "tokens of a sequence (spans: of the encoder's input)")->capture_default_str();
}

void add_model(CLI::App& app, PretrainOptions& o) {
  app.add_option("--init", o.init, "a model to go on from, with its tokenizer");
  app.add_option("--shape", o.shape,
                 "of a new model: tiny, 1m, 3m, 7m, 16m, or a configuration as cambium inspect prints it (.json)");
  app.add_option("--family", o.family, "of a new model: t5, bert, gpt2, bart")->capture_default_str();
  app.add_option("--tokenizer", o.tokenizer,
                 "directory of a new model's tokenizer (default: one is learned from the texts)");
  app.add_option("--vocabulary", o.vocabulary, "pieces of a learned vocabulary")->capture_default_str();
  app.add_option("--objective", o.objective, "mlm, wwm (whole words), spans, prefix-lm, bart or causal")
      ->capture_default_str();
  app.add_option("--train", o.parts, "what trains: all, or beginnings of parameter names (head.,encoder.layers.5.)")
      ->capture_default_str();
}

void add_training(CLI::App& app, TrainRun& run) {
  TrainOptions& t = run.train;
  app.add_option("--output", run.run.directory, "directory of the run; the model comes into its folder model")
      ->required();
  app.add_option("--steps", t.steps, "steps (default: --epochs times the texts)");
  app.add_option("--epochs", t.epochs, "times through the texts")->capture_default_str();
  app.add_option("--batch-size", t.batch_size, "sequences a step")->capture_default_str();
  app.add_option("--lr", t.lr, "learning rate")->capture_default_str()->check(CLI::PositiveNumber);
  app.add_option("--optimizer", t.optimizer, "adamw, adafactor or sgd")->capture_default_str();
  app.add_option("--schedule", t.schedule, "constant, linear or cosine")->capture_default_str();
  app.add_option("--warmup", t.warmup, "steps, or a share of all (6%)")->capture_default_str();
  app.add_option("--weight-decay", t.optimizer_options.weight_decay, "of every trained tensor")->capture_default_str();
  app.add_option("--clip", t.clip, "largest norm of the gradient; 0: off")->capture_default_str();
  app.add_option("--shards", t.shards, "pieces of a batch, a power of two")->capture_default_str();
  app.add_option("--eval-every", t.eval_every, "steps between evaluations (default: at the end of each epoch)");
  app.add_option("--save-every", t.save_every, "steps between checkpoints (default: at the end only)");
  app.add_option("--report-every", t.report_every,
                 "steps after which their losses are read from a GPU (default: 1 on the CPU, 10 on a GPU)");
  app.add_flag("--recompute", t.recompute, "keep only layers' inputs and compute them again in backward");
  app.add_flag("--resume", run.run.resume, "continue the run in --output");
  app.add_flag("--overwrite", run.run.overwrite, "replace the run in --output");
}

}  // namespace

int pretrain_command_line(int argc, char** argv) {
  CLI::App app("Pre-trains a model on texts", "pretrain");
  app.formatter(std::make_shared<HelpFormatter>());
  CommonOptions common;
  PretrainOptions o;
  o.run.train.lr = 1e-3, o.run.train.schedule = "linear", o.run.train.warmup = "6%", o.run.train.epochs = 1,
  o.run.train.batch_size = 16;
  add_data(app, o);
  add_model(app, o);
  add_training(app, o.run);
  add_common(app, common, false);
  return parse_and_run(app, argc, argv, common, [&] { return run_pretrain(common, o); });
}

}  // namespace cambium
