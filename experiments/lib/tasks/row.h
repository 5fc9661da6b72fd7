// A row of a task's file: named fields, each with one value or, like references, several.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace cambium {

struct DataRow {
  std::map<std::string, std::vector<std::string>> fields;
  std::string where;  // "dev.tsv:3", for messages

  // All values of a field joined with `between`; InputError where the row has no such field.
  std::string joined(const std::string& name, const std::string& between = " ") const;
  const std::vector<std::string>& values(const std::string& name) const;
};

}  // namespace cambium
