#include "experiments/lib/table/site.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/files.h"
#include "experiments/lib/statistics.h"
#include "experiments/lib/table/report.h"
#include "experiments/lib/table/result.h"
#include "experiments/lib/table/svg.h"

namespace cambium {
namespace {

// Cells that differ by their seed alone.
struct Bundle {
  std::string key;  // settings without the seed
  std::vector<CellResult> seeds;

  const Cell& cell() const { return seeds.front().cell; }
  double mean(const std::string& name) const {
    std::vector<double> all;
    for (const CellResult& r : seeds) all.push_back(r.value(name));
    return mean_of_finite(all);
  }
};

struct Page {
  std::string program, preset, folder;
  std::vector<Bundle> bundles;
  std::vector<std::string> damage;
  int64_t cells = 0;

  std::string name() const { return program + "." + preset; }
};

// The settings of a cell without seeds, of its start either: equal for all seeds.
std::string key_of(const CellResult& r) {
  nlohmann::json j = nlohmann::json::parse(r.cell.settings, nullptr, false);
  if (!j.is_object()) return r.cell.settings;
  for (nlohmann::json* at = &j; at->is_object();) {
    at->erase("seed");
    if (at->contains("train") && (*at)["train"].is_object()) (*at)["train"].erase("seed");
    if (!at->contains("start")) break;
    at = &(*at)["start"];
  }
  return j.dump();
}

Page read_page(const std::string& program, const std::string& preset, const std::string& folder) {
  Page page{program, preset, folder, {}, {}, 0};
  if (!is_directory(folder + "/cells")) return page;
  for (const std::string& file : list_directory(folder + "/cells")) {
    if (!file.ends_with(".h5")) continue;
    try {
      CellResult r = read_result(folder + "/cells/" + file);
      const std::string key = key_of(r);
      auto bundle =
          std::find_if(page.bundles.begin(), page.bundles.end(), [&](const Bundle& b) { return b.key == key; });
      if (bundle == page.bundles.end()) bundle = page.bundles.insert(bundle, Bundle{key, {}});
      bundle->seeds.push_back(std::move(r)), ++page.cells;
    } catch (const Error& error) {
      page.damage.push_back(error.what());
    }
  }
  return page;
}

// "lora": {"rank": "4"}, what it was trained on, and where it started, in a line.
std::string setting_of(const Bundle& b) {
  const nlohmann::json j = nlohmann::json::parse(b.key, nullptr, false);
  if (!j.is_object()) return "";
  std::string line;
  const auto add = [&](const std::string& words) { line += (line.empty() ? "" : ", ") + words; };
  if (j.contains("tuner") && j["tuner"].contains("options") && j["tuner"]["options"].is_object())
    for (const auto& [name, value] : j["tuner"]["options"].items())
      if (value.is_string() && !value.get<std::string>().empty()) add(name + "=" + value.get<std::string>());
  if (j.contains("examples")) add(text("examples=", j["examples"].dump()));
  if (j.contains("train") && j["train"].contains("lr")) add(text("lr=", j["train"]["lr"].dump()));
  if (j.contains("start") && j["start"].contains("task") && j["start"]["task"].is_string())
    add("from " + j["start"]["task"].get<std::string>());
  return line;
}

// All scores that cells of this page have, those that chose apart.
std::vector<std::string> score_names(const Page& page) {
  std::set<std::string> names;
  for (const Bundle& b : page.bundles)
    for (const CellResult& r : b.seeds)
      for (const auto& [name, _] : r.scores)
        if (!name.starts_with("dev_")) names.insert(name);
  return {names.begin(), names.end()};
}

// The one that most cells have, of equals the one that comes first among these.
std::string main_score(const Page& page) {
  for (const char* usual : {"accuracy", "bleu", "rouge1", "matthews", "f1"})
    for (const std::string& name : score_names(page))
      if (name == usual) return name;
  const std::vector<std::string> all = score_names(page);
  return all.empty() ? "" : all.front();
}

double peak_mib(const Bundle& b) { return b.mean("resident_peak_bytes") / (1 << 20); }

ReportTable cells_table(const Page& page) {
  const std::vector<std::string> scores = score_names(page);
  ReportTable t{.title = "Finished cells",
                .columns = {{"method", false}, {"model", false}, {"task", false}, {"seeds"}}};
  for (const std::string& name : scores) t.columns.push_back({name, true, "scores, means over seeds"});
  for (const char* title : {"trained", "train s", "answer s", "peak MiB"}) t.columns.push_back({title, true, "cost"});
  t.columns.push_back({"settings", false});
  for (const Bundle& b : page.bundles) {
    std::vector<ReportTable::Value> row{b.cell().method, b.cell().model, b.cell().task, std::to_string(b.seeds.size())};
    for (const std::string& name : scores) row.push_back(format_number(b.mean(name), 4));
    const double trained = b.mean("trained_parameters");
    row.push_back(std::isfinite(trained) ? format_count(trained) : "0");
    row.push_back(format_number(b.mean("train_seconds"), 1)), row.push_back(format_number(b.mean("decode_seconds"), 1));
    row.push_back(format_number(peak_mib(b), 0)), row.push_back(setting_of(b));
    t.rows.push_back(std::move(row));
  }
  return t;
}

// Points of one score: against a cost, on which less is better. A task and model a chart.
void add_pareto(const Page& page, Report& report) {
  const std::string score = main_score(page);
  std::set<std::pair<std::string, std::string>> places;
  for (const Bundle& b : page.bundles) places.insert({b.cell().task, b.cell().model});
  for (const auto& [task, model] : places) {
    std::vector<ChartPoint> parameters, memory;
    size_t number = 0;
    for (const Bundle& b : page.bundles) {
      if (b.cell().task != task || b.cell().model != model || !std::isfinite(b.mean(score))) continue;
      const double trained = b.mean("trained_parameters");
      if (trained > 0) parameters.push_back({b.cell().method, number, trained, b.mean(score)});
      if (std::isfinite(peak_mib(b))) memory.push_back({b.cell().method, number, peak_mib(b), b.mean(score)});
      ++number;
    }
    const std::string where = text(task, ", ", model);
    if (parameters.size() > 1)
      report.figures.push_back({"Score and trained parameters: " + where,
                                scatter_chart({"trained parameters", score, true}, parameters),
                                "Up and left is better."});
    if (memory.size() > 1)
      report.figures.push_back(
          {"Score and memory: " + where, scatter_chart({"peak MiB", score}, memory), "Up and left is better."});
  }
}

std::string note_of(const Page& page, const std::string& name) {
  std::vector<const CellResult*> all;
  for (const Bundle& b : page.bundles)
    for (const CellResult& r : b.seeds) all.push_back(&r);
  return notes_of(all, name);
}

std::string rendered(const Page& page, bool own_report) {
  Report report{.title = page.program, .subtitle = text("preset ", page.preset, " · ", page.cells, " finished cells")};
  if (own_report)
    report.tables.push_back({.title = "The program's own report",
                             .columns = {{"page", false}},
                             .rows = {{{"published numbers, verdicts, figures, samples"}}}});
  if (own_report) report.tables.back().rows[0][0].link = page.name() + ".report.html";
  report.tables.push_back(cells_table(page));
  report.missing = page.damage;
  add_pareto(page, report);
  report.facts = {{"command", note_of(page, "command")},
                  {"cambium", note_of(page, "software_version")},
                  {"instructions", note_of(page, "instruction_set")},
                  {"machine", note_of(page, "machine")}};
  return render(report, ReportFormat::html);
}

std::vector<Page> read_pages(const std::string& results) {
  std::vector<Page> pages;
  for (const std::string& program : list_directory(results)) {
    if (!is_directory(results + "/" + program)) continue;
    for (const std::string& preset : list_directory(results + "/" + program)) {
      Page page = read_page(program, preset, results + "/" + program + "/" + preset);
      if (page.cells || !page.damage.empty() || file_exists(page.folder + "/report.html"))
        pages.push_back(std::move(page));
    }
  }
  return pages;
}

}  // namespace

int64_t write_site(const std::string& results, const std::string& site) {
  check_input(is_directory(results), results, " is no folder of results");
  const std::vector<Page> pages = read_pages(results);
  check_input(!pages.empty(), results, " holds no results: programs of tables write RESULTS/PROGRAM/PRESET/cells");
  make_directories(site);
  ReportTable t{
      .title = "Tables and figures",
      .columns = {
          {"program", false}, {"preset", false}, {"cells"}, {"models", false}, {"tasks", false}, {"report", false}}};
  for (const Page& page : pages) {
    const std::string own = page.folder + "/report.html";
    const bool copied = file_exists(own);
    if (copied) write_file(site + "/" + page.name() + ".report.html", read_text_file(own));
    write_file(site + "/" + page.name() + ".html", rendered(page, copied));
    std::set<std::string> models, tasks;
    for (const Bundle& b : page.bundles) models.insert(b.cell().model), tasks.insert(b.cell().task);
    std::vector<ReportTable::Value> row{page.program,   page.preset,   std::to_string(page.cells),
                                        listed(models), listed(tasks), copied ? "report" : "–"};
    row[0].link = page.name() + ".html";
    if (copied) row[5].link = page.name() + ".report.html";
    t.rows.push_back(std::move(row));
  }
  const Report index{.title = "Results",
                     .subtitle = text(pages.size(), pages.size() == 1 ? " table" : " tables"),
                     .tables = {std::move(t)},
                     .facts = {{"results", results}}};
  write_file(site + "/index.html", render(index, ReportFormat::html));  // last: it names what is there
  return int64_t(pages.size());
}

}  // namespace cambium
