// The table of a run while its cells finish: a row more each time, and the time that is left.
#pragma once

#include <string>
#include <vector>

#include "experiments/lib/table/cell.h"
#include "experiments/lib/table/report.h"

namespace cambium {

// What tells the cells of a grid apart: "prefix", and its model, task or seed where there are several.
std::vector<std::string> cell_labels(const std::vector<Cell>&);

class GrowingTable {
 public:
  // columns: behind the label.
  explicit GrowingTable(std::vector<ReportTable::Column> columns);

  void add(const std::string& label, std::vector<ReportTable::Value> values);
  // The last rows, with what was said of the progress as their title.
  std::string rendered(const std::string& title) const;

 private:
  ReportTable table_;
};

}  // namespace cambium
