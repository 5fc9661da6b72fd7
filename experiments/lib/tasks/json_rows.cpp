// Rows from JSON: objects of JSON lines or of one list, and elements of the lists inside them.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/csv.h"
#include "core/json.h"
#include "core/lines.h"
#include "experiments/lib/tasks/rows.h"
#include "tuning/options.h"

namespace cambium {
namespace {

using nlohmann::json;

std::string scalar_text(const json& value, const std::string& path) {
  if (value.is_string()) return value;
  check_input(value.is_boolean() || value.is_number(), "\"", path, "\" is ", brief(value), "; expected a text");
  return value.dump();
}

// A list inside a list becomes one value: the triple ["s", "r", "o"] is "s | r | o".
std::string value_text(const json& value, const std::string& path) {
  if (!value.is_array()) return scalar_text(value, path);
  std::string all;
  for (const json& part : value) all += (all.empty() ? "" : " | ") + scalar_text(part, path);
  return all;
}

// One object of the file, and which element of each opened list is looked at.
class JsonRowReader {
 public:
  JsonRowReader(const TaskFile& file, std::string where, const RowSink& sink)
      : file_(file), where_(std::move(where)), sink_(sink) {}

  void read(const json& root) {
    root_ = &root;
    open(0);
  }

 private:
  void open(size_t level) {
    if (level == file_.each.size()) {
      DataRow row{.fields = {}, .where = where_};
      for (const auto& [field, column] : file_.columns) row.fields[field] = values_of(column);
      sink_(std::move(row));
      return;
    }
    const std::string& path = file_.each[level];
    std::vector<const json*> lists;
    collect(*root_, split(path, '.'), 0, "", path, lists);
    check_input(lists.size() == 1 && lists[0]->is_array(), "\"", path, "\" is missing or no list");
    for (const json& element : *lists[0]) {
      element_[path] = &element;
      open(level + 1);
    }
    element_.erase(path);
  }

  // What stands at a path: several where it goes through a list that is not opened.
  void collect(const json& node, const std::vector<std::string>& steps, size_t at, const std::string& before,
               const std::string& path, std::vector<const json*>& found) const {
    check_input(node.is_object(), "\"", before.empty() ? path : before, "\" is ", brief(node), "; expected an object");
    const json* child = find_field(node, steps[at]);
    if (!child) return;
    const std::string here = before.empty() ? steps[at] : before + "." + steps[at];
    const auto opened = element_.find(here);
    if (opened != element_.end()) child = opened->second;
    if (at + 1 == steps.size()) found.push_back(child);
    else if (!child->is_array()) collect(*child, steps, at + 1, here, path, found);
    else
      for (const json& element : *child) collect(element, steps, at + 1, here, path, found);
  }

  std::vector<std::string> values_of(const Column& column) const {
    std::vector<std::string> values;
    for (const std::string& path : column.names) {
      std::vector<const json*> found;
      collect(*root_, split(path, '.'), 0, "", path, found);
      const bool there = !found.empty() || inside_empty_list(path);
      check_input(there || (column.any && path != column.names.back()), "\"", column.names.front(), "\" is missing");
      for (const json* value : found) {
        if (!value->is_array()) values.push_back(scalar_text(*value, path));
        else
          for (const json& element : *value) values.push_back(value_text(element, path));
      }
      if (there && (column.any || column.first)) break;
    }
    if (column.first && values.size() > 1) values.resize(1);
    return values;
  }

  // A list without elements has no values and is not missing: "answers": [].
  bool inside_empty_list(const std::string& path) const {
    for (size_t dot = path.find('.'); dot != path.npos; dot = path.find('.', dot + 1)) {
      std::vector<const json*> found;
      collect(*root_, split(path.substr(0, dot), '.'), 0, "", path, found);
      if (found.size() == 1 && found[0]->is_array() && found[0]->empty()) return true;
    }
    return false;
  }

  const TaskFile& file_;
  std::string where_;
  const RowSink& sink_;
  const json* root_ = nullptr;
  std::map<std::string, const json*> element_;
};

}  // namespace

void read_json_rows(const TaskFile& file, const std::string& path, const RowSink& sink) {
  const std::string contents = read_data_file(path);
  const std::string_view plain = without_byte_order_mark(contents);
  const auto put = [&](const json& object, const std::string& where) {
    if (object.is_object() && object.size() == 1 && object.contains("header")) return;  // MRQA's first line
    reading(where, [&] { JsonRowReader(file, where, sink).read(object); });
  };
  const size_t start = plain.find_first_not_of(kBlanks);
  const bool list = start != plain.npos && plain[start] == '[';
  if (list || file.format == "json") {
    if (start == plain.npos) return;
    // SAMSum's .json files are lists in one release and lines in another.
    const size_t end = plain.find('\n', start);
    const bool lines = !list && end != plain.npos && plain.find_first_not_of(kBlanks, end) != plain.npos &&
                       json::accept(plain.substr(start, end - start));
    if (!lines) {
      const json whole = parse_json(plain, path);
      if (whole.is_array())
        for (size_t i = 0; i < whole.size(); ++i) put(whole[i], text(path, ", entry ", i + 1));
      else put(whole, path);
      return;
    }
  }
  for_each_line_of(plain, [&](const std::string& line, int64_t number) {
    if (line.find_first_not_of(kBlanks) == line.npos) return;
    const std::string where = text(path, ":", number);
    put(parse_json(line, where), where);
  });
}

}  // namespace cambium
