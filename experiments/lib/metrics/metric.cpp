// The table of metrics, and readers of references and outputs.
#include "experiments/lib/metrics/metric.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/csv.h"
#include "core/error.h"
#include "core/json.h"
#include "core/lines.h"
#include "core/path_kind.h"
#include "experiments/lib/metrics/bleu.h"
#include "experiments/lib/metrics/chrf.h"
#include "experiments/lib/metrics/classification.h"
#include "experiments/lib/metrics/e2e.h"
#include "experiments/lib/metrics/rouge.h"
#include "experiments/lib/metrics/squad.h"
#include "experiments/lib/metrics/ter.h"
#include "experiments/lib/metrics/text.h"

namespace cambium::metrics {
namespace {

struct Metric {
  const char* name;
  StatisticsTable (*table)(const References&, const Outputs&);
};

constexpr Metric kMetrics[] = {
    {"e2e", e2e_table},         {"bleu", bleu_table},         {"rouge", rouge_table},     {"ter", ter_table},
    {"chrf", chrf_table},       {"accuracy", accuracy_table}, {"f1", f1_table},           {"matthews", matthews_table},
    {"pearson", pearson_table}, {"spearman", spearman_table}, {"multirc", multirc_table}, {"squad", squad_table},
};

const Metric& find_metric(std::string_view name) {
  std::string known;
  for (const Metric& metric : kMetrics) {
    if (metric.name == name) return metric;
    known += (known.empty() ? "" : ", ") + std::string(metric.name);
  }
  throw InputError(text("unknown metric '", name, "'; there are ", known));
}

References grouped_by_mr(const Table& table) {
  const size_t mr = table.column("mr"), ref = table.column("ref");
  References groups;
  std::unordered_map<std::string, size_t> places;
  for (const auto& row : table.rows) {
    const auto [place, is_new] = places.try_emplace(row[mr], groups.size());
    if (is_new) groups.emplace_back();
    groups[place->second].push_back(row[ref]);
  }
  return groups;
}

// Without empty lines between others each line is a group; but for a single output all lines are one group.
References grouped_by_lines(std::string_view file, size_t outputs) {
  auto lines = lines_of(file);
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  const bool single = outputs != 1 && std::find(lines.begin(), lines.end(), "") == lines.end();
  References groups;
  bool open = false;
  for (std::string& line : lines) {
    const bool empty = line.empty();
    if (!empty && (single || !open)) groups.emplace_back();
    if (!empty) groups.back().push_back(std::move(line));
    open = !empty;
  }
  return groups;
}

// data[].paragraphs[].qas[].answers[].text
References squad_answers(const nlohmann::json& file) {
  const auto items = [](const nlohmann::json& object, const char* name) -> const nlohmann::json& {
    const nlohmann::json* list = find_field(object, name);
    check_input(list && list->is_array(), "\"", name, "\" is missing or no list in ", brief(object));
    return *list;
  };
  References groups;
  for (const auto& article : items(file, "data"))
    for (const auto& paragraph : items(article, "paragraphs"))
      for (const auto& question : items(paragraph, "qas")) {
        auto& answers = groups.emplace_back();
        for (const auto& answer : items(question, "answers")) answers.push_back(get_string(answer, "text"));
      }
  return groups;
}

}  // namespace

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const Metric& metric : kMetrics) names.emplace_back(metric.name);
  return names;
}

StatisticsTable metric_table(std::string_view name, const References& references, const Outputs& outputs) {
  const Metric& metric = find_metric(name);
  check_input(references.size() == outputs.size(), name, ": ", references.size(), " groups of references, but ",
              outputs.size(), " outputs; each group needs one output");
  check_input(!outputs.empty(), name, ": there are no outputs to score");
  References clean_references;
  for (const auto& group : references) {
    auto& clean = clean_references.emplace_back();
    for (const std::string& reference : group) clean.push_back(clean_utf8(reference));
    check_input(!group.empty() || name == "squad", name, ": group ", clean_references.size(), " has no references");
  }
  Outputs clean_outputs;
  for (const std::string& output : outputs) clean_outputs.push_back(clean_utf8(output));
  return metric.table(clean_references, clean_outputs);
}

Scores score(std::string_view name, const References& references, const Outputs& outputs) {
  return metric_table(name, references, outputs).corpus_scores();
}

References read_references(std::string_view metric, const std::string& path, size_t outputs) {
  find_metric(metric);
  check_path(path, Wanted::text);
  const std::string contents = read_data_file(path);
  if (metric == "squad") {
    const nlohmann::json answers = parse_json(contents, path);
    return reading(path, [&] { return squad_answers(answers); });
  }
  const std::string_view file = without_byte_order_mark(contents);
  const std::string_view first = file.substr(0, file.find_first_of("\r\n"));
  const bool is_csv =
      first == "mr,ref" || first == "\"mr\",\"ref\"" || path.ends_with(".csv") || path.ends_with(".csv.xz");
  References groups = is_csv ? grouped_by_mr(parse_table(file, path)) : grouped_by_lines(file, outputs);
  check_input(!groups.empty(), path, ": no references in it");
  return groups;
}

Outputs read_outputs(const std::string& path) {
  check_path(path, Wanted::text);
  return lines_of(read_data_file(path));
}

}  // namespace cambium::metrics
