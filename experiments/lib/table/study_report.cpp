#include "experiments/lib/table/study_report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/json.h"

namespace cambium {
namespace {

std::string note_of_all(const std::vector<Group>& rows, const std::string& name) {
  std::vector<const CellResult*> all;
  for (const Group& r : rows) all.insert(all.end(), r.seeds.begin(), r.seeds.end());
  return notes_of(all, name);
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
std::string options_of(const Group& row, const TrainOptions& preset) {
  if (row.seeds.empty() || !row.seeds.front()->notes.count("tuner_options")) return "";
  const auto& notes = row.seeds.front()->notes;
  std::string options = notes.at("tuner_options");
  if (!notes.count("train_options")) return options;
  nlohmann::json train = parse_json(notes.at("train_options"), "train_options");
  train.erase("seed");
  return options + ", trained with " + changes(learned(preset), train);
}

std::string said_training(const CellSpec& s) {
  const TrainOptions& t = s.train;
  return text(s.examples ? text(s.examples) : "all", " examples, ",
              t.steps ? text(t.steps, " steps") : text(t.epochs, " epochs"), ", batch ", t.batch_size, ", ",
              t.optimizer, ", ", t.schedule, t.schedule == "linear" ? " decay" : "", ", warm-up ", t.warmup, ", clip ",
              t.clip, "; all options that are not the default: ", changes(learned(TrainOptions()), learned(t)));
}

std::string said_answers(const CellSpec& s, bool classes) {
  const GenerationOptions& g = s.generation;
  return text(s.inputs ? text("the first ", s.inputs, " distinct") : "all", " inputs of the ",
              s.split == Split::test ? "test" : "dev", " split",
              s.choosing ? text(" (", s.choosing, " of dev choose)") : "",
              classes ? ""
                      : text(", ", g.beams == 1 ? "greedy" : text("beam ", g.beams), ", at most ", g.max_new_tokens,
                             " new tokens, batches of ", g.batch_size));
}

}  // namespace

const Published* published_for(const Study& study, const Coordinates& at) {
  const auto found = std::find_if(study.published.begin(), study.published.end(),
                                  [&](const Published& p) { return lies_in(at, p.at); });
  return found == study.published.end() ? nullptr : &*found;
}

std::vector<std::vector<const Group*>> by_task_and_model(const std::vector<Group>& groups) {
  std::vector<std::vector<const Group*>> sections;
  for (const Group& g : groups) {
    const auto here = [&](const std::vector<const Group*>& s) {
      return s.front()->spec.task == g.spec.task && s.front()->spec.model == g.spec.model;
    };
    const auto section = std::find_if(sections.begin(), sections.end(), here);
    if (section == sections.end()) sections.push_back({&g});
    else section->push_back(&g);
  }
  return sections;
}

std::vector<ReportTable::Column> row_columns(const Study& study) {
  std::vector<ReportTable::Column> columns;
  for (const ScoreColumn& c : study.columns) columns.push_back({c.title});
  for (const char* title : {"trained", "train s", "answer s"}) columns.push_back({title});
  return columns;
}

std::vector<ReportTable::Value> row_values(const Study& study, const CellResult& result) {
  std::vector<ReportTable::Value> row;
  for (const ScoreColumn& c : study.columns) row.push_back(format_number(result.value(c.score) * c.scale, c.decimals));
  const double trained = result.measured("trained_parameters");
  row.push_back(std::isfinite(trained) ? format_count(trained) : "0");
  for (const char* name : {"train_seconds", "decode_seconds"}) row.push_back(format_number(result.measured(name), 1));
  return row;
}

void add_facts(const Study& study, const StudyPreset& preset, bool classes, const std::string& command,
               const std::vector<Group>& rows, Report& report) {
  const CellSpec& base = preset.grid.base;
  std::set<std::string> models;
  for (const Group& r : rows) models.insert(r.spec.model);
  auto& facts = report.facts;
  const std::string hash = note_of_all(rows, "base_hash");
  facts = {{"paper", study.paper},
           {"model", listed(models)},
           {"base", note_of_all(rows, "dtype") + (hash.empty() ? "" : ", SHA-256 " + hash)},
           {"training", said_training(base)},
           {classes ? "answers" : "decoding", said_answers(base, classes)}};
  for (const Axis& axis : preset.grid.axes)
    if (axis.values.size() > 1) facts.emplace_back("axis " + axis.name, listed(axis.labels()));
  if (const std::string objective = note_of_all(rows, "objective"); !objective.empty())
    facts.emplace_back("objective", objective);
  std::set<std::string> said_rows;
  for (const Group& r : rows) {
    if (!said_rows.insert(row_label(r, {})).second) continue;
    if (const std::string options = options_of(r, base.train); !options.empty())
      facts.emplace_back(row_label(r, {}), options);
    if (!r.seeds.empty() && r.seeds.front()->notes.count("demonstrations"))
      facts.emplace_back(row_label(r, {}), r.seeds.front()->notes.at("demonstrations"));
  }
  facts.emplace_back("cambium", note_of_all(rows, "software_version"));
  facts.emplace_back("instructions", note_of_all(rows, "instruction_set"));
  facts.emplace_back("machine", note_of_all(rows, "machine"));
  facts.emplace_back("command", command);
}

Report study_report(const Study& study, const StudyPreset& preset, const StudyResults& results,
                    const std::string& command) {
  Report report{.title = study.title,
                .subtitle = text(study.paper, " · ", preset.grid.base.model, " · preset ", preset.name),
                .introduction = {study.about}};
  const auto sections = by_task_and_model(results.groups);
  const bool classes = !sections.empty() && results.task(sections[0].front()->spec).is_classification();
  if (study.tables)
    for (const auto& rows : sections)
      report.tables.push_back(score_table(study, preset, results.task(rows.front()->spec), rows));
  add_pictures(study, results, report);
  if (study.more) study.more(results, report);
  if (ReportTable verdicts = verdict_table(study, results); !verdicts.rows.empty())
    report.tables.push_back(std::move(verdicts));
  constexpr size_t kPictured = 4;  // of many tasks the first ones
  if (study.tables)
    for (size_t i = 0; i < std::min(kPictured, sections.size()); ++i) {
      add_figures(study, classes, sections[i], report);
      add_samples(sections[i], report);
    }
  add_facts(study, preset, classes, command, results.groups, report);
  return report;
}

}  // namespace cambium
