#include "experiments/lib/table/tuning_report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "core/json.h"
#include "experiments/lib/table/svg.h"
#include "tuning/methods.h"
#include "tuning/options.h"

namespace cambium {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double mean_of(const std::vector<double>& values) { return values.empty() ? kNan : spread(values).mean; }

// "64.21", of several seeds "64.21±0.80" (the sample's standard deviation).
std::string with_spread(std::vector<double> values, double scale, int decimals) {
  for (double& v : values) v *= scale;
  if (values.empty()) return format_number(kNan, 0);
  const Spread s = spread(values);
  return format_number(s.mean, decimals) + (values.size() > 1 ? "±" + format_number(s.deviation, decimals) : "");
}

// The largest of the seeds.
double peak_mib(const RowResults& row) {
  std::vector<double> peaks = row.measured("resident_peak_bytes");
  if (peaks.empty()) peaks = row.measured("tensor_peak_bytes");
  return peaks.empty() ? kNan : *std::max_element(peaks.begin(), peaks.end()) / (1 << 20);
}

// What stands beside the published numbers of a row: what they were measured with, and what is otherwise here.
std::string setting_of(const PublishedRow& published, const TuningMethod& method) {
  std::string here;
  if (!method.tuner.empty()) {
    const OptionMap ours = tuner_options(method.tuner, method.options);
    for (const auto& [name, value] : published.options)
      if (const auto found = ours.find(name); found == ours.end() || found->second != value)
        here += text(here.empty() ? "here " : ", ", name, "=", found == ours.end() ? "none" : found->second);
  }
  return published.setting + (published.setting.empty() || here.empty() ? "" : "; ") + here;
}

// The best of each column that tells rows apart.
void mark_best(ReportTable& table, const std::vector<RowResults>& rows, const TuningTable& definition) {
  for (size_t c = 0; c < definition.columns.size(); ++c) {
    double best = -std::numeric_limits<double>::infinity(), worst = -best;
    for (const RowResults& r : rows)
      if (const double m = mean_of(r.scores(definition.columns[c].score)); std::isfinite(m))
        best = std::max(best, m), worst = std::min(worst, m);
    for (size_t r = 0; r < rows.size(); ++r)
      table.rows[r][c + 1].strong = best > worst && mean_of(rows[r].scores(definition.columns[c].score)) == best;
  }
}

// "Always the most frequent class: 50.9.": what a classifier has to beat.
std::string majority_note(const ScoreColumn& column, const std::vector<RowResults>& rows) {
  for (const RowResults& r : rows) {
    if (r.seeds.empty() || column.score != "accuracy") continue;
    std::map<std::string, int64_t> counts;
    int64_t most = 0;
    for (const auto& references : r.seeds.front()->references)
      if (!references.empty()) most = std::max(most, ++counts[references.front()]);
    const double share = double(most) / double(std::max<size_t>(1, r.seeds.front()->references.size()));
    return text("Always the most frequent class: ", format_number(share * column.scale, column.decimals), ".");
  }
  return "";
}

ReportTable score_table(const TuningTable& definition, const TuningSetting& setting, const Task& task,
                        const std::vector<RowResults>& rows) {
  const bool classes = task.is_classification();
  const std::string measured = "measured", cost = "cost", published = "published: " + definition.published_setting;
  ReportTable t{
      .title = text(definition.title,
                    setting.preset.tasks.size() > 1 || !definition.other_tasks.empty() ? ", " + task.name() : "",
                    ", on ", setting.preset.model, " (preset ", setting.preset.name, ")"),
      .columns = {{"method", false}}};
  for (const ScoreColumn& c : definition.columns) t.columns.push_back({c.title, true, measured});
  for (const char* title :
       {"trained", "train s", "tok/s", classes ? "answer s" : "decode s", classes ? "texts/s" : "tok/s", "peak MiB"})
    t.columns.push_back({title, true, cost});
  std::vector<ScoreColumn> printed;
  if (!definition.published.empty())
    std::copy_if(definition.columns.begin(), definition.columns.end(), std::back_inserter(printed),
                 [](const ScoreColumn& c) { return c.in_papers; });
  for (const ScoreColumn& c : printed) t.columns.push_back({c.title, true, published});
  if (!printed.empty()) t.columns.push_back({"published setting", false, published});

  size_t most_seeds = 0, fewest_seeds = SIZE_MAX;  // of rows that have some
  for (const RowResults& r : rows) {
    std::vector<ReportTable::Value> row{r.method.name};
    most_seeds = std::max(most_seeds, r.seeds.size());
    if (!r.seeds.empty()) fewest_seeds = std::min(fewest_seeds, r.seeds.size());
    for (const ScoreColumn& c : definition.columns) row.push_back(with_spread(r.scores(c.score), c.scale, c.decimals));
    const bool trains = !r.method.tuner.empty();
    row.push_back(trains ? format_count(mean_of(r.measured("trained_parameters"))) : r.seeds.empty() ? "–" : "0");
    row.push_back(format_number(mean_of(r.measured("train_seconds")), 1));
    row.push_back(format_number(mean_of(r.measured("train_tokens_per_second")), 0));
    row.push_back(format_number(mean_of(r.measured("decode_seconds")), 1));
    row.push_back(format_number(mean_of(r.measured(classes ? "texts_per_second" : "decode_tokens_per_second")), 0));
    row.push_back(format_number(peak_mib(r), 0));
    const PublishedRow* p = published_for(definition, r.method.name);
    for (size_t c = 0; c < printed.size(); ++c)
      row.push_back({format_number(p && c < p->values.size() ? p->values[c] : kNan, printed[c].decimals), false,
                     p ? p->source : ""});
    if (!printed.empty()) row.push_back(p ? setting_of(*p, r.method) : "");
    t.rows.push_back(std::move(row));
  }
  mark_best(t, rows, definition);
  if (most_seeds > 1)
    t.notes.push_back(text("Mean ± standard deviation of ",
                           fewest_seeds < most_seeds ? text(fewest_seeds, " to ") : std::string(), most_seeds, " seeds",
                           fewest_seeds < most_seeds ? ": not all cells are done." : "."));
  t.notes.push_back(text(
      "Peak MiB: the largest resident memory while the cell ran, the base model included. tok/s: tokens trained on",
      classes ? "." : ", new tokens written."));
  if (const std::string note = classes ? majority_note(definition.columns.front(), rows) : ""; !note.empty())
    t.notes.push_back(note);
  std::set<std::string> sources;
  for (const RowResults& r : rows)
    if (const PublishedRow* p = published_for(definition, r.method.name))
      sources.insert(r.method.name + ": " + p->source);
  std::string line;
  for (const std::string& s : sources) line += (line.empty() ? "Published: " : "; ") + s;
  if (!line.empty()) t.notes.push_back(line + ".");
  for (const auto* notes : {&definition.notes, &setting.preset.notes})
    t.notes.insert(t.notes.end(), notes->begin(), notes->end());
  return t;
}

void add_figures(const TuningTable& definition, bool classes, const std::vector<RowResults>& rows, Report& report) {
  const ScoreColumn& main = definition.columns.front();
  std::vector<ChartLine> losses;
  std::vector<std::string> names;
  ChartBars ours{"measured", 0, {}, {}}, theirs{"published", 1, {}, {}}, memory{"peak", 2, {}, {}};
  std::vector<ChartPoint> points;
  for (size_t i = 0; i < rows.size(); ++i) {
    const RowResults& r = rows[i];
    if (r.seeds.empty()) continue;
    if (const auto loss = r.seeds.front()->series.find("loss"); loss != r.seeds.front()->series.end()) {
      std::vector<double> steps(loss->second.size());
      std::iota(steps.begin(), steps.end(), 1);
      losses.push_back({r.method.name, i, steps, loss->second});
    }
    std::vector<double> scores = r.scores(main.score);
    for (double& s : scores) s *= main.scale;
    const Spread s = spread(scores);
    names.push_back(r.method.name);
    ours.values.push_back(s.mean), ours.spread.push_back(s.deviation);
    memory.values.push_back(peak_mib(r));
    const PublishedRow* p = published_for(definition, r.method.name);
    theirs.values.push_back(p ? p->values.front() : kNan);
    if (const double trained = mean_of(r.measured("trained_parameters")); trained > 0)
      points.push_back({r.method.name, i, trained, s.mean});
  }
  if (!losses.empty())
    report.figures.push_back({"Training loss", line_chart({"step", classes ? "loss" : "loss per token"}, losses),
                              text("Mean loss of the ", classes ? "answers" : "scored tokens",
                                   " of each batch, before the update (faint), and its running mean. First seed.")});
  if (!names.empty())
    report.figures.push_back(
        {main.title + (definition.published.empty() ? "" : ", measured and published"),
         bar_chart({"", main.title}, names,
                   definition.published.empty() ? std::vector{ours} : std::vector{ours, theirs}),
         (definition.published.empty() ? "" : "Published: " + definition.published_setting + ". ") +
             "Whiskers: standard deviation over seeds, where there are several."});
  if (std::any_of(memory.values.begin(), memory.values.end(), [](double m) { return m > 0; }))
    report.figures.push_back(
        {"Peak memory", bar_chart({"", "MiB"}, names, {memory}),
         "The largest resident memory while a cell trained and answered, the base model included."});
  if (!points.empty())
    report.figures.push_back({"What a trained parameter buys",
                              scatter_chart({"trained parameters", main.title, true}, points),
                              "Trained parameters on a logarithmic axis."});
}

void add_samples(const std::vector<RowResults>& rows, Report& report) {
  constexpr size_t kSamples = 3;
  const auto first = std::find_if(rows.begin(), rows.end(), [](const RowResults& r) { return !r.seeds.empty(); });
  if (first == rows.end()) return;
  const CellResult& base = *first->seeds.front();
  for (size_t k = 0; k < std::min(kSamples, base.inputs.size()); ++k) {
    const size_t i = k * base.inputs.size() / std::min(kSamples, base.inputs.size());
    ReportSample sample{base.inputs[i], {}, {}};
    if (!base.references[i].empty()) sample.references.push_back(base.references[i].front());
    for (const RowResults& r : rows)
      if (!r.seeds.empty() && i < r.seeds.front()->inputs.size() && r.seeds.front()->inputs[i] == base.inputs[i])
        sample.outputs.emplace_back(r.method.name, r.seeds.front()->outputs[i]);
    report.samples.push_back(std::move(sample));
  }
}

// What all finished cells say, or how many different things they say.
std::string note_of_all(const std::vector<RowResults>& rows, const std::string& name) {
  std::set<std::string> values;
  for (const RowResults& r : rows)
    for (const CellResult* c : r.seeds)
      if (const auto found = c->notes.find(name); found != c->notes.end()) values.insert(found->second);
  std::string line;
  for (const std::string& v : values) line += (line.empty() ? "" : "; ") + v;
  return line;
}

nlohmann::json learned(const TrainOptions& options) {
  nlohmann::json j = to_json(options);
  keep_what_is_learned(j);
  return j;
}

// "lr=0.001, dropout/residual=0.1": what `to` has otherwise.
std::string changes(const nlohmann::json& from, const nlohmann::json& to) {
  const nlohmann::json old = from.flatten(), now = to.flatten();
  std::string list;
  for (const auto& [name, value] : now.items())
    if (!old.contains(name) || old[name] != value)
      list += text(list.empty() ? "" : ", ", name.substr(1), "=",
                   value.is_string() ? value.get<std::string>() : value.dump());
  return list.empty() ? "none" : list;
}

// Of the tuner, and those of the row's training that are not the preset's.
std::string options_of(const RowResults& row, const TrainOptions& preset) {
  if (row.seeds.empty() || !row.seeds.front()->notes.count("tuner_options")) return "";
  const auto& notes = row.seeds.front()->notes;
  std::string options = notes.at("tuner_options");
  if (!notes.count("train_options")) return options;
  nlohmann::json train = parse_json(notes.at("train_options"), "train_options");
  train.erase("seed");
  return options + ", trained with " + changes(learned(preset), train);
}

void add_facts(const TuningTable& definition, const TuningSetting& setting, bool classes, const std::string& command,
               const std::vector<RowResults>& rows, Report& report) {
  const TuningPreset& p = setting.preset;
  const GenerationOptions& g = p.generation;
  const std::string inputs = text(p.inputs ? text("the first ", p.inputs, " distinct") : "all", " inputs of the ",
                                  p.split == Split::test ? "test" : "dev", " split");
  auto& facts = report.facts;
  facts = {{"paper", definition.paper},
           {"model", p.model},
           {"base", note_of_all(rows, "dtype") +
                        (note_of_all(rows, "base_hash").empty() ? "" : ", SHA-256 " + note_of_all(rows, "base_hash"))},
           {"training",
            text(p.examples ? text(p.examples) : "all", " examples, ", p.train.epochs, " epochs, batch ",
                 p.train.batch_size, ", ", p.train.optimizer, ", ", p.train.schedule,
                 p.train.schedule == "linear" ? " decay" : "", ", warm-up ", p.train.warmup, ", clip ", p.train.clip,
                 "; all options that are not the default: ", changes(learned(TrainOptions()), learned(p.train)))},
           classes ? std::pair<std::string, std::string>{"answers", inputs}
                   : std::pair<std::string, std::string>{
                         "decoding", text(inputs, ", ", g.beams == 1 ? "greedy" : text("beam ", g.beams), ", at most ",
                                          g.max_new_tokens, " new tokens, batches of ", g.batch_size)}};
  if (const std::string objective = note_of_all(rows, "objective"); !objective.empty())
    facts.emplace_back("objective", objective);
  for (const RowResults& r : rows) {
    if (const std::string options = options_of(r, p.train); !options.empty())
      facts.emplace_back(r.method.name, options);
    if (!r.seeds.empty() && r.seeds.front()->notes.count("demonstrations"))
      facts.emplace_back(r.method.name, r.seeds.front()->notes.at("demonstrations"));
  }
  facts.emplace_back("cambium", note_of_all(rows, "software_version"));
  facts.emplace_back("instructions", note_of_all(rows, "instruction_set"));
  facts.emplace_back("machine", note_of_all(rows, "machine"));
  facts.emplace_back("command", command);
}

}  // namespace

const PublishedRow* published_for(const TuningTable& table, const std::string& method) {
  const auto found = std::find_if(table.published.begin(), table.published.end(),
                                  [&](const PublishedRow& p) { return p.method == method; });
  return found == table.published.end() ? nullptr : &*found;
}

std::vector<double> RowResults::scores(const std::string& name) const {
  std::vector<double> all;
  for (const CellResult* c : seeds)
    if (c->scores.count(name)) all.push_back(c->score(name));
  return all;
}

std::vector<double> RowResults::measured(const std::string& name) const {
  std::vector<double> all;
  for (const CellResult* c : seeds)
    if (const double v = c->measured(name); std::isfinite(v)) all.push_back(v);
  return all;
}

std::vector<ReportTable::Column> row_columns(const TuningTable& table) {
  std::vector<ReportTable::Column> columns;
  for (const ScoreColumn& c : table.columns) columns.push_back({c.title});
  for (const char* title : {"trained", "train s", "answer s"}) columns.push_back({title});
  return columns;
}

std::vector<ReportTable::Value> row_values(const TuningTable& table, const CellResult& result) {
  std::vector<ReportTable::Value> row;
  for (const ScoreColumn& c : table.columns) row.push_back(format_number(result.score(c.score) * c.scale, c.decimals));
  const double trained = result.measured("trained_parameters");
  row.push_back(std::isfinite(trained) ? format_count(trained) : "0");
  for (const char* name : {"train_seconds", "decode_seconds"}) row.push_back(format_number(result.measured(name), 1));
  return row;
}

Report tuning_report(const TuningTable& definition, const TuningSetting& setting, const Task& task,
                     const std::string& command, const std::vector<RowResults>& rows) {
  TuningTable shown = definition;
  const auto elsewhere = [&](const auto& one) { return !one.task.empty() && one.task != task.name(); };
  std::erase_if(shown.published, elsewhere);
  std::erase_if(shown.claims, elsewhere);
  const bool classes = task.is_classification();
  Report report{.title = shown.title,
                .subtitle = text(shown.paper, " · ", setting.preset.model, " · preset ", setting.preset.name),
                .introduction = {shown.about}};
  report.tables.push_back(score_table(shown, setting, task, rows));
  if (!shown.claims.empty()) report.tables.push_back(verdict_table(shown, rows, task.metric()));
  add_figures(shown, classes, rows, report);
  add_samples(rows, report);
  add_facts(shown, setting, classes, command, rows, report);
  return report;
}

}  // namespace cambium
