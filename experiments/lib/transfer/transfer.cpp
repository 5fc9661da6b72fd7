#include "experiments/lib/transfer/transfer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>

#include "core/csv.h"
#include "core/files.h"
#include "experiments/lib/metrics/classification.h"
#include "experiments/lib/statistics.h"
#include "models/files/torch_tensor.h"

namespace cambium {
namespace {

// Pairs of an indicator's value and a performance.
struct Pairs {
  std::vector<double> x, y;
  void add(double a, double b) {
    if (std::isfinite(a) && std::isfinite(b)) x.push_back(a), y.push_back(b);
  }
};

// "IMDBPromptRoberta": the task and the model.
bool split_name(const std::string& name, std::string& task, std::string& model) {
  const size_t at = name.find("Prompt");
  if (at == name.npos || at == 0 || at + 6 == name.size()) return false;
  task = name.substr(0, at), model = name.substr(at + 6);
  return true;
}

double accuracy_of(const std::string& field, const std::string& where) {
  double value = kNan;
  const std::string number = field.starts_with("acc=") ? field.substr(4) : "";
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  check_input(error == std::errc() && end == number.data() + number.size() && std::isfinite(value), where,
              ": the value \"", field.substr(0, 40), "\" is none like acc=0.5");
  return value;
}

using Results = std::map<std::pair<std::string, std::string>, double>;  // (target, source): performance

Results read_results(const std::string& path) {
  const Table table = read_table(path, TableFormat::plain_tsv());
  const size_t set = table.column("set"), target = table.column("target_task"), source = table.column("prompt_from"),
               value = table.column("value");
  Results results;
  for (size_t i = 0; i < table.rows.size(); ++i) {
    const auto& row = table.rows[i];
    if (row[set] == "main")
      results[{row[target], row[source]}] = accuracy_of(row[value], text(path, ":", table.lines[i]));
  }
  return results;
}

}  // namespace

TransferCorrelation correlate(const TransferMatrix& m, const std::vector<std::vector<double>>& values) {
  std::vector<double> foreign, own;
  Pairs all_foreign, all_own;
  for (size_t t = 0; t < m.tasks.size(); ++t) {
    Pairs others, with_own;
    for (size_t s = 0; s < m.tasks.size(); ++s) {
      with_own.add(values[t][s], m.scores[t][s]), all_own.add(values[t][s], m.relative(t, s));
      if (s == t) continue;
      others.add(values[t][s], m.scores[t][s]), all_foreign.add(values[t][s], m.relative(t, s));
    }
    foreign.push_back(metrics::spearman(others.x, others.y)), own.push_back(metrics::spearman(with_own.x, with_own.y));
  }
  return {mean_of_finite(foreign), mean_of_finite(own), metrics::spearman(all_foreign.x, all_foreign.y),
          metrics::spearman(all_own.x, all_own.y)};
}

std::string task_type(const std::string& task) {
  static const std::map<std::string, std::string> types = {{"IMDB", "sentiment"},
                                                           {"SST2", "sentiment"},
                                                           {"laptop", "sentiment"},
                                                           {"restaurant", "sentiment"},
                                                           {"movierationales", "sentiment"},
                                                           {"tweetevalsentiment", "sentiment"},
                                                           {"MNLI", "inference"},
                                                           {"QNLI", "inference"},
                                                           {"snli", "inference"},
                                                           {"ethicsdeontology", "ethics"},
                                                           {"ethicsjustice", "ethics"},
                                                           {"QQP", "paraphrase"},
                                                           {"MRPC", "paraphrase"},
                                                           {"squad", "questions"},
                                                           {"nq_open", "questions"},
                                                           {"multi_news", "summaries"},
                                                           {"samsum", "summaries"}};
  const auto found = types.find(task);
  return found == types.end() ? "" : found->second;
}

std::vector<ReleasedModel> read_released(const std::string& directory) {
  const std::string folder = directory + "/task_prompt_emb";
  const Results results = read_results(directory + "/results.tsv");
  std::map<std::string, std::vector<std::string>> tasks;  // of each model
  for (const std::string& name : list_directory(folder)) {
    std::string task, model;
    if (split_name(name, task, model) && task != "random" && task != "recastner") tasks[model].push_back(task);
  }
  std::vector<ReleasedModel> models;
  for (const auto& [model, names] : tasks) {
    if (names.size() < 2) continue;
    ReleasedModel& one = models.emplace_back(ReleasedModel{.name = model, .transfer = {.tasks = names}});
    for (const std::string& task : names) {
      one.prompts.push_back(read_torch_tensor(folder + "/" + task + "Prompt" + model + "/task_prompt"));
      std::vector<double>& row = one.transfer.scores.emplace_back();
      for (const std::string& source : names) {
        const auto found = results.find({task + "Prompt" + model, source + "Prompt" + model});
        row.push_back(found == results.end() ? kNan : found->second);
      }
    }
  }
  check_input(!models.empty(), folder, ": holds no prompts of two tasks; folders have names like SST2PromptRoberta");
  return models;
}

}  // namespace cambium
