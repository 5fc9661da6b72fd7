#include "experiments/lib/table/bases.h"

namespace cambium {

CellSpec smoke_base(const std::string& model, const std::string& task) {
  CellSpec b{.model = model, .task = task, .examples = 8, .inputs = 4};
  b.train.steps = 2, b.train.batch_size = 4, b.train.schedule = "linear";
  b.generation = {.max_new_tokens = 6, .batch_size = 8};
  return b;
}

CellSpec e2e_base(const std::string& model, int64_t examples, int64_t inputs) {
  CellSpec b{.model = model, .task = "e2e", .examples = examples, .inputs = inputs};
  b.train.schedule = "linear", b.train.batch_size = 4;
  b.generation = {.max_new_tokens = 80, .batch_size = 50};
  return b;
}

void decode_as_li_and_liang(CellSpec& b) {
  b.generation = {.max_new_tokens = 100, .min_new_tokens = 5, .beams = 5, .batch_size = 16};
  b.forbidden = {"\n", "\n\n"};
}

CellSpec e2e_paper_base(const std::string& model) {
  CellSpec b = e2e_base(model, 0, 0);
  b.train.batch_size = 10, b.train.epochs = 5, b.train.save_every = 1000;
  decode_as_li_and_liang(b);
  return b;
}

CellSpec class_base(const std::string& model, const std::string& task, int64_t examples) {
  CellSpec b{.model = model, .task = task, .examples = examples, .split = Split::dev};
  b.train.schedule = "linear", b.train.batch_size = 16;
  b.generation.batch_size = 32;
  return b;
}

CellSpec lester_base(const std::string& model) {
  CellSpec b = class_base(model, "sst2", 0);
  b.train.optimizer = "adafactor", b.train.schedule = "constant", b.train.steps = 30000, b.train.batch_size = 32;
  return b;
}

namespace {

std::shared_ptr<const CellSpec> trained_on(const CellSpec& cell, const std::string& task) {
  CellSpec start = cell;
  start.task = task;
  return std::make_shared<CellSpec>(std::move(start));
}

}  // namespace

Axis source_axis(const std::vector<std::string>& tasks) {
  Axis axis{.name = "source"};
  axis.values.push_back({kRandomPrompt, [](CellSpec& s) { s.untrained = true; }});
  for (const std::string& task : tasks)
    axis.values.push_back({task, [task](CellSpec& s) {
                             s.start = trained_on(s, task);
                             s.tuner.clear(), s.options.clear();
                           }});
  return axis;
}

Axis start_axis(const std::vector<std::string>& tasks) {
  Axis axis{.name = "start"};
  axis.values.push_back({"itself", [](CellSpec&) {}});
  for (const std::string& task : tasks)
    axis.values.push_back({task, [task](CellSpec& s) {
                             if (task != s.task) s.start = trained_on(s, task);
                           }});
  return axis;
}

}  // namespace cambium
