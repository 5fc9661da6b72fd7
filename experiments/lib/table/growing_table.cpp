#include "experiments/lib/table/growing_table.h"

#include <set>

#include "core/error.h"

namespace cambium {

std::vector<std::string> cell_labels(const std::vector<Cell>& cells) {
  std::set<std::string> models, tasks;
  std::set<uint64_t> seeds;
  for (const Cell& c : cells) models.insert(c.model), tasks.insert(c.task), seeds.insert(c.seed);
  std::vector<std::string> labels;
  for (const Cell& c : cells)
    labels.push_back(c.method + (c.place.empty() ? "" : ", " + c.place) + (models.size() > 1 ? ", " + c.model : "") +
                     (tasks.size() > 1 ? ", " + c.task : "") + (seeds.size() > 1 ? text(", seed ", c.seed) : ""));
  return labels;
}

GrowingTable::GrowingTable(std::vector<ReportTable::Column> columns) {
  table_.columns = std::move(columns);
  table_.columns.insert(table_.columns.begin(), {"method", false});
}

void GrowingTable::add(const std::string& label, std::vector<ReportTable::Value> values) {
  constexpr size_t kShown = 12;  // of long grids the last rows
  values.insert(values.begin(), label);
  table_.rows.push_back(std::move(values));
  if (table_.rows.size() > kShown) table_.rows.erase(table_.rows.begin());
}

std::string GrowingTable::rendered(const std::string& title) const {
  ReportTable table = table_;
  table.title = title;
  return "\n" + render({.title = title, .tables = {table}}, ReportFormat::text);
}

}  // namespace cambium
