// Matrices, heat maps, curves and scatters of a study's results.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "experiments/lib/table/study_report.h"
#include "experiments/lib/table/svg.h"

namespace cambium {
namespace {

// The groups of one picture, and the labels of their rows and columns in the order of the grid.
struct Field {
  Coordinates rest;  // labels of the axes that the picture does not name
  std::vector<const Group*> groups;
  std::vector<std::string> rows, columns;

  const Group* at(const Picture& picture, const std::string& row, const std::string& column) const {
    for (const Group* g : groups)
      if (g->at.at(picture.rows) == row && (picture.columns.empty() || g->at.at(picture.columns) == column)) return g;
    return nullptr;
  }
};

void add_label(std::vector<std::string>& to, const std::string& label) {
  if (std::find(to.begin(), to.end(), label) == to.end()) to.push_back(label);
}

std::vector<Field> fields_of(const Picture& picture, const StudyResults& results) {
  std::vector<Field> fields;
  for (const Group& g : results.groups) {
    if (!g.at.count(picture.rows) || (!picture.columns.empty() && !g.at.count(picture.columns))) continue;
    Coordinates rest = g.at;
    rest.erase(picture.rows), rest.erase(picture.columns);
    auto field = std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.rest == rest; });
    if (field == fields.end()) field = fields.insert(fields.end(), Field{rest, {}, {}, {}});
    field->groups.push_back(&g);
    add_label(field->rows, g.at.at(picture.rows));
    add_label(field->columns, picture.columns.empty() ? "" : g.at.at(picture.columns));
  }
  return fields;
}

double number_of(const std::string& label) {
  double value = kNan;
  const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), value);
  return error == std::errc() && end == label.data() + label.size() ? value : kNan;
}

std::string title_of(const Study& study, const Picture& picture, const Field& field, size_t fields) {
  const std::string title = picture.title.empty() ? study.columns[picture.column].title + " by " + picture.rows +
                                                        (picture.columns.empty() ? "" : " and " + picture.columns)
                                                  : picture.title;
  return title + (fields > 1 && !field.rest.empty() ? ", " + said(field.rest) : "");
}

void add_matrix(const Study& study, const Picture& picture, const Field& field, const std::string& title,
                Report& report) {
  const ScoreColumn& column = study.columns[picture.column];
  const bool means = !picture.relative && picture.kind == Picture::Kind::matrix && field.columns.size() > 1;
  ReportTable t{.title = title, .columns = {{picture.rows, false}}};
  for (const std::string& c : field.columns) t.columns.push_back({c, true, picture.columns});
  if (means) t.columns.push_back({"mean"});
  std::vector<std::vector<double>> values;
  for (const std::string& r : field.rows) {
    std::vector<ReportTable::Value> row{r};
    std::vector<double>& numbers = values.emplace_back();
    const Group* own = field.at(picture, r, r);
    double sum = 0;
    for (const std::string& c : field.columns) {
      const Group* g = field.at(picture, r, c);
      const double score = g ? g->mean(column.score) : kNan;
      numbers.push_back(picture.relative ? score / (own ? own->mean(column.score) : kNan) : score * column.scale);
      sum += numbers.back();
      row.push_back(picture.relative ? format_number(numbers.back(), 2)
                                     : with_spread(g ? g->values(column.score) : std::vector<double>(), column));
    }
    if (means) row.push_back(format_number(sum / double(field.columns.size()), column.decimals));
    t.rows.push_back(std::move(row));
  }
  if (picture.relative) t.notes.push_back("Each row is divided by its field on the diagonal.");
  report.tables.push_back(std::move(t));
  if (picture.kind == Picture::Kind::heat_map)
    report.figures.push_back({title, heat_map({picture.columns, picture.rows}, field.rows, field.columns, values),
                              study.columns[picture.column].title});
}

void add_curve(const Study& study, const Picture& picture, const Field& field, const std::string& title,
               Report& report) {
  const ScoreColumn& column = study.columns[picture.column];
  std::vector<ChartLine> lines;
  ReportTable t{.title = title, .columns = {{picture.rows}}};
  for (const std::string& c : field.columns) t.columns.push_back({c.empty() ? column.title : c});
  for (const std::string& r : field.rows) {
    std::vector<ReportTable::Value> row{r};
    for (const std::string& c : field.columns) {
      const Group* g = field.at(picture, r, c);
      row.push_back(with_spread(g ? g->values(column.score) : std::vector<double>(), column));
    }
    t.rows.push_back(std::move(row));
  }
  for (size_t c = 0; c < field.columns.size(); ++c) {
    ChartLine& line = lines.emplace_back(ChartLine{field.columns[c], c, {}, {}});
    for (const std::string& r : field.rows)
      if (const Group* g = field.at(picture, r, field.columns[c]); g && std::isfinite(number_of(r)))
        line.x.push_back(number_of(r)), line.y.push_back(g->mean(column.score) * column.scale);
    if (std::none_of(line.y.begin(), line.y.end(), [](double y) { return std::isfinite(y); })) lines.pop_back();
  }
  report.tables.push_back(std::move(t));
  if (!lines.empty())
    report.figures.push_back(
        {title, line_chart({picture.rows, column.title, picture.log_x}, lines), "Means over seeds."});
}

void add_scatter(const Study& study, const Picture& picture, const Field& field, const std::string& title,
                 Report& report) {
  const ScoreColumn& column = study.columns[picture.column];
  ReportTable t{.title = title,
                .columns = {{picture.columns, false}, {picture.rows, false}, {picture.x}, {column.title}}};
  std::vector<ChartPoint> points;
  for (size_t c = 0; c < field.columns.size(); ++c)
    for (const std::string& r : field.rows) {
      const Group* g = field.at(picture, r, field.columns[c]);
      if (!g || !std::isfinite(g->mean(picture.x))) continue;
      t.rows.push_back(
          {field.columns[c], r, format_count(g->mean(picture.x)), with_spread(g->values(column.score), column)});
      points.push_back({field.columns[c] + " " + r, c, g->mean(picture.x), g->mean(column.score) * column.scale});
    }
  if (points.empty()) return;
  report.tables.push_back(std::move(t));
  report.figures.push_back(
      {title, scatter_chart({picture.x, column.title, picture.log_x}, points), "Means over seeds."});
}

}  // namespace

void add_pictures(const Study& study, const StudyResults& results, Report& report) {
  for (const Picture& picture : study.pictures) {
    const std::vector<Field> fields = fields_of(picture, results);
    for (const Field& field : fields) {
      const std::string title = title_of(study, picture, field, fields.size());
      switch (picture.kind) {
        case Picture::Kind::matrix:
        case Picture::Kind::heat_map: add_matrix(study, picture, field, title, report); break;
        case Picture::Kind::curve: add_curve(study, picture, field, title, report); break;
        case Picture::Kind::scatter: add_scatter(study, picture, field, title, report); break;
      }
    }
  }
}

}  // namespace cambium
