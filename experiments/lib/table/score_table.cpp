// The table of all columns, its figures and samples.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "experiments/lib/table/study_report.h"
#include "experiments/lib/table/svg.h"
#include "tuning/methods.h"

namespace cambium {
namespace {

using Groups = std::vector<const Group*>;

// The largest of the seeds.
double peak_mib(const Group& row) {
  std::vector<double> peaks = row.values("resident_peak_bytes");
  if (peaks.empty()) peaks = row.values("tensor_peak_bytes");
  return peaks.empty() ? kNan : *std::max_element(peaks.begin(), peaks.end()) / (1 << 20);
}

// What stands beside the published numbers of a row: what they were measured with, and what is otherwise here.
std::string setting_of(const Published& published, const CellSpec& spec) {
  std::string here;
  if (!spec.tuner.empty()) {
    const OptionMap ours = tuner_options(spec.tuner, spec.options);
    for (const auto& [name, value] : published.options)
      if (const auto found = ours.find(name); found == ours.end() || found->second != value)
        here += text(here.empty() ? "here " : ", ", name, "=", found == ours.end() ? "none" : found->second);
  }
  return published.setting + (published.setting.empty() || here.empty() ? "" : "; ") + here;
}

// The best of each column that tells rows apart.
void mark_best(ReportTable& table, const Groups& rows, const std::vector<ScoreColumn>& columns) {
  for (size_t c = 0; c < columns.size(); ++c) {
    const double sign = columns[c].better == ScoreColumn::Better::lower ? -1 : 1;
    double best = -std::numeric_limits<double>::infinity(), worst = -best;
    for (const Group* r : rows)
      if (const double m = sign * r->mean(columns[c].score); std::isfinite(m))
        best = std::max(best, m), worst = std::min(worst, m);
    for (size_t r = 0; r < rows.size(); ++r)
      table.rows[r][c + 1].strong = best > worst && sign * rows[r]->mean(columns[c].score) == best;
  }
}

// "Always the most frequent class: 50.9.": what a classifier has to beat.
std::string majority_note(const ScoreColumn& column, const Groups& rows) {
  for (const Group* r : rows) {
    if (r->seeds.empty() || column.score != "accuracy") continue;
    std::map<std::string, int64_t> counts;
    int64_t most = 0;
    for (const auto& references : r->seeds.front()->references)
      if (!references.empty()) most = std::max(most, ++counts[references.front()]);
    const double share = double(most) / double(std::max<size_t>(1, r->seeds.front()->references.size()));
    return text("Always the most frequent class: ", format_number(share * column.scale, column.decimals), ".");
  }
  return "";
}

// "prompt: rate x3": what was chosen on dev, of the same values for every row.
std::string chosen_note(const Groups& rows) {
  std::string list;
  for (const Group* r : rows)
    if (!r->chosen.empty() && !r->seeds.empty())
      list += (list.empty() ? "" : "; ") + row_label(*r, {}) + ": " + r->chosen;
  return list.empty() ? "" : "Chosen by the score on dev, from the same values for every row: " + list + ".";
}

void add_costs(const Group& row, bool classes, std::vector<ReportTable::Value>& to) {
  const double trained = row.mean("trained_parameters");
  to.push_back(std::isfinite(trained) ? format_count(trained) : row.seeds.empty() ? "–" : "0");
  to.push_back(format_number(row.mean("train_seconds"), 1));
  to.push_back(format_number(row.mean("train_tokens_per_second"), 0));
  to.push_back(format_number(row.mean("decode_seconds"), 1));
  to.push_back(format_number(row.mean(classes ? "texts_per_second" : "decode_tokens_per_second"), 0));
  to.push_back(format_number(peak_mib(row), 0));
}

void add_notes(const Study& study, const StudyPreset& preset, bool classes, const Groups& rows, ReportTable& t) {
  size_t most_seeds = 0, fewest_seeds = SIZE_MAX;  // of rows that have some
  std::set<std::string> sources;
  for (const Group* r : rows) {
    most_seeds = std::max(most_seeds, r->seeds.size());
    if (!r->seeds.empty()) fewest_seeds = std::min(fewest_seeds, r->seeds.size());
    if (const Published* p = published_for(study, r->at)) sources.insert(r->spec.method + ": " + p->source);
  }
  if (most_seeds > 1)
    t.notes.push_back(text("Mean ± standard deviation of ",
                           fewest_seeds < most_seeds ? text(fewest_seeds, " to ") : std::string(), most_seeds, " seeds",
                           fewest_seeds < most_seeds ? ": not all cells are done." : "."));
  t.notes.push_back(text(
      "Peak MiB: the largest resident memory while the cell ran, the base model included. tok/s: tokens trained on",
      classes ? "." : ", new tokens written."));
  for (const std::string& note : {classes ? majority_note(study.columns.front(), rows) : "", chosen_note(rows)})
    if (!note.empty()) t.notes.push_back(note);
  if (!sources.empty()) t.notes.push_back("Published: " + listed(sources, "; ") + ".");
  for (const auto* notes : {&study.notes, &preset.notes}) t.notes.insert(t.notes.end(), notes->begin(), notes->end());
}

// The labels that all rows share: they stand in the title.
Coordinates common_to(const Groups& rows) {
  Coordinates common = rows.front()->at;
  for (const Group* r : rows) std::erase_if(common, [&](const auto& label) { return !lies_in(r->at, {label}); });
  common.erase("method");
  return common;
}

}  // namespace

std::string with_spread(std::vector<double> values, const ScoreColumn& column) {
  for (double& v : values) v *= column.scale;
  if (values.empty()) return format_number(kNan, 0);
  const Spread s = spread(values);
  return format_number(s.mean, column.decimals) +
         (values.size() > 1 ? "±" + format_number(s.deviation, column.decimals) : "");
}

std::string row_label(const Group& group, const Coordinates& common) {
  std::string label = group.spec.method;
  for (const auto& [axis, value] : group.at)
    if (axis != "method" && axis != "model" && axis != "task" && !common.count(axis))
      label += ", " + axis + " " + value;
  return label;
}

ReportTable score_table(const Study& study, const StudyPreset& preset, const Task& task, const Groups& rows) {
  const bool classes = task.is_classification();
  const Coordinates common = common_to(rows);
  const Axis* tasks = preset.grid.axis("task");
  const bool several = (tasks && tasks->values.size() > 1) || !study.other_tasks.empty();
  const std::string measured = "measured", cost = "cost", published = "published: " + study.published_setting;
  ReportTable t{.title = text(study.title, several ? ", " + task.name() : "", ", on ", rows.front()->spec.model,
                              " (preset ", preset.name, ")"),
                .columns = {{"method", false}}};
  for (const ScoreColumn& c : study.columns) t.columns.push_back({c.title, true, measured});
  for (const char* title :
       {"trained", "train s", "tok/s", classes ? "answer s" : "decode s", classes ? "texts/s" : "tok/s", "peak MiB"})
    t.columns.push_back({title, true, cost});
  std::vector<ScoreColumn> printed;
  if (std::any_of(rows.begin(), rows.end(), [&](const Group* r) { return published_for(study, r->at); }))
    std::copy_if(study.columns.begin(), study.columns.end(), std::back_inserter(printed),
                 [](const ScoreColumn& c) { return c.in_papers; });
  for (const ScoreColumn& c : printed) t.columns.push_back({c.title, true, published});
  if (!printed.empty()) t.columns.push_back({"published setting", false, published});

  for (const Group* r : rows) {
    std::vector<ReportTable::Value> row{row_label(*r, common)};
    for (const ScoreColumn& c : study.columns) row.push_back(with_spread(r->values(c.score), c));
    add_costs(*r, classes, row);
    const Published* p = published_for(study, r->at);
    for (size_t c = 0; c < printed.size(); ++c)
      row.push_back({format_number(p && c < p->values.size() ? p->values[c] : kNan, printed[c].decimals), false,
                     p ? p->source : ""});
    if (!printed.empty()) row.push_back(p ? setting_of(*p, r->spec) : "");
    t.rows.push_back(std::move(row));
  }
  mark_best(t, rows, study.columns);
  add_notes(study, preset, classes, rows, t);
  return t;
}

void add_figures(const Study& study, bool classes, const Groups& rows, Report& report) {
  const ScoreColumn& main = study.columns.front();
  std::vector<ChartLine> losses;
  std::vector<std::string> names;
  ChartBars ours{"measured", 0, {}, {}}, theirs{"published", 1, {}, {}}, memory{"peak", 2, {}, {}};
  std::vector<ChartPoint> points;
  const Coordinates common = common_to(rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Group& r = *rows[i];
    if (r.seeds.empty()) continue;
    const std::string name = row_label(r, common);
    if (const auto loss = r.seeds.front()->series.find("loss"); loss != r.seeds.front()->series.end()) {
      std::vector<double> steps(loss->second.size());
      std::iota(steps.begin(), steps.end(), 1);
      losses.push_back({name, i, steps, loss->second});
    }
    std::vector<double> scores = r.values(main.score);
    for (double& s : scores) s *= main.scale;
    const Spread s = scores.empty() ? Spread{kNan, kNan} : spread(scores);
    names.push_back(name);
    ours.values.push_back(s.mean), ours.spread.push_back(s.deviation);
    memory.values.push_back(peak_mib(r));
    const Published* p = published_for(study, r.at);
    theirs.values.push_back(p ? p->values.front() : kNan);
    if (const double trained = r.mean("trained_parameters"); trained > 0) points.push_back({name, i, trained, s.mean});
  }
  const bool printed =
      std::any_of(theirs.values.begin(), theirs.values.end(), [](double v) { return std::isfinite(v); });
  if (!losses.empty())
    report.figures.push_back({"Training loss", line_chart({"step", classes ? "loss" : "loss per token"}, losses),
                              text("Mean loss of the ", classes ? "answers" : "scored tokens",
                                   " of each batch, before the update (faint), and its running mean. First seed.")});
  if (!names.empty())
    report.figures.push_back(
        {main.title + (printed ? ", measured and published" : ""),
         bar_chart({"", main.title}, names, printed ? std::vector{ours, theirs} : std::vector{ours}),
         (printed ? "Published: " + study.published_setting + ". " : "") +
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

void add_samples(const Groups& rows, Report& report) {
  constexpr size_t kSamples = 3;
  const auto first = std::find_if(rows.begin(), rows.end(), [](const Group* r) { return !r->seeds.empty(); });
  if (first == rows.end()) return;
  const CellResult& base = *(*first)->seeds.front();
  const Coordinates common = common_to(rows);
  for (size_t k = 0; k < std::min(kSamples, base.inputs.size()); ++k) {
    const size_t i = k * base.inputs.size() / std::min(kSamples, base.inputs.size());
    ReportSample sample{base.inputs[i], {}, {}};
    if (!base.references[i].empty()) sample.references.push_back(base.references[i].front());
    for (const Group* r : rows)
      if (!r->seeds.empty() && i < r->seeds.front()->inputs.size() && r->seeds.front()->inputs[i] == base.inputs[i])
        sample.outputs.emplace_back(row_label(*r, common), r->seeds.front()->outputs[i]);
    report.samples.push_back(std::move(sample));
  }
}

}  // namespace cambium
