// Tables that compare ways to tune one model: declared by data, run by one code.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "experiments/lib/classification.h"
#include "experiments/lib/table/experiment.h"
#include "experiments/lib/tasks/task.h"
#include "models/generation.h"
#include "tuning/trainer.h"

namespace cambium {

// A row: a tuner with its options, or the model as it is (no tuner), by itself or behind demonstrations. What is 0 is
// the preset's or the tuner's own.
struct TuningMethod {
  std::string name, tuner;
  OptionMap options = {};
  int64_t demonstrations = 0;  // examples of the training set in front of each input, chosen by the cell's seed
  double lr = 0;
  int64_t epochs = 0, batch_size = 0;
  void (*adjust)(TrainOptions&) = nullptr;  // the rest of what its paper does otherwise
  bool extra = false;                       // only with --methods all, or by its name
};

// The rows of presets that follow no paper: the model as it is, and every tuner. A prompt starts from the task's words,
// a prefix from the keys and values of such words: random starts cost both dearly on few examples. top_layers and full
// are extra.
std::vector<TuningMethod> all_methods();
// The same rows, none of them extra.
std::vector<TuningMethod> without_extra(std::vector<TuningMethod>);

// The name of the preset that needs no download: its model is one of smoke_model.h, of random weights, made on the
// spot.
inline constexpr const char* kSmokePreset = "smoke";

struct TuningPreset {
  std::string name, description, model;
  std::vector<std::string> tasks;  // all texts or all classifications
  std::vector<TuningMethod> methods;
  int64_t examples = 0;  // training examples, drawn by the cell's seed; 0: all
  int64_t inputs = 0;    // the first distinct inputs of the split; 0: all
  Split split = Split::test;
  Decision decision = Decision::automatic;  // of classification: how the model tells the class
  TrainOptions train;
  GenerationOptions generation;        // classification reads the batch size alone
  std::vector<std::string> forbidden;  // texts whose tokens are never completed in outputs
  int64_t seeds = 1;
  std::vector<std::string> notes = {};  // what differs from the paper, for readers of the table
};

// A score as a column: `score` is its name in result files.
struct ScoreColumn {
  std::string score, title;
  double scale = 1;
  int decimals = 2;
  bool in_papers = true;  // false: only measured; behind those that papers print
};

// What a paper prints for a row, in the order of the columns; NaN where it prints nothing. Of one task, or of all.
// `setting` stands in the row, in words: what was measured there, where it is not what the row's name says or where
// readers would ask (size, length, data set). `options` are those of our tuner that say the same: where the row here
// has others, they are added ("here length=10").
struct PublishedRow {
  std::string method, source;
  std::vector<double> values;
  std::string task = {};
  std::string setting = {};
  OptionMap options = {};
};

// A trend that the paper reports: `better` scores higher than `worse` in the first column. On one task, or on all.
struct Claim {
  std::string better, worse, source;
  std::string task = {};
};

struct TuningTable {
  std::string name, title, paper, about;
  std::vector<ScoreColumn> columns;  // the first is the one of tests and figures; all of the task's metric
  std::string published_setting;     // model and data of the published numbers
  std::vector<PublishedRow> published;
  std::vector<Claim> claims;
  std::vector<std::string> notes;  // what differs from the paper, for readers of the table
  std::vector<TuningPreset> presets;
  std::vector<std::string> other_tasks = {};  // of the same kind, that --tasks may name beside the preset's
};

std::unique_ptr<Experiment> make_tuning_experiment(TuningTable);

// The whole main of such a table.
int tuning_table_program(int argc, char** argv, TuningTable);

}  // namespace cambium
