#include "experiments/lib/tasks/rows.h"

#include <algorithm>

#include "core/csv.h"
#include "core/files.h"
#include "core/lines.h"
#include "core/path_kind.h"
#include "experiments/lib/tasks/prepare.h"

namespace cambium {
namespace {

TableFormat table_format(const TaskFile& file) {
  TableFormat format = file.format == "csv"   ? TableFormat::csv()
                       : file.format == "tsv" ? TableFormat::tsv()
                                              : TableFormat::plain_tsv();
  format.header = file.header, format.skip_short_rows = file.skip_short_rows;
  return format;
}

void read_table_rows(const TaskFile& file, const std::string& path, const RowSink& sink) {
  const Table table = read_table(path, table_format(file));
  struct Place {
    const std::string* field;
    std::vector<size_t> columns;
  };
  std::vector<Place> places;
  for (const auto& [field, column] : file.columns) {
    Place place{&field, {}};
    const size_t width = table.rows.empty() ? 0 : table.rows.front().size();
    if (column.number) {
      check_input(table.rows.empty() || size_t(column.number) <= width, path, ": has ", width, " columns, but \"",
                  field, "\" is number ", column.number);
      place.columns = {size_t(column.number) - 1};
    }
    for (const std::string& name : column.names) {
      const bool there = std::find(table.header.begin(), table.header.end(), name) != table.header.end();
      if (column.any && !there && name != column.names.back()) continue;
      place.columns.push_back(table.column(name));
      if (column.any || column.first) break;
    }
    places.push_back(std::move(place));
  }
  for (size_t i = 0; i < table.rows.size(); ++i) {
    DataRow row{.fields = {}, .where = text(path, ":", table.lines[i])};
    for (const Place& place : places)
      for (const size_t c : place.columns) row.fields[*place.field].push_back(table.rows[i][c]);
    sink(std::move(row));
  }
}

// Several files with a line a row.
void read_parallel_lines(const TaskFile& file, const std::string& folder, const RowSink& sink) {
  std::vector<std::vector<std::string>> all;
  for (const auto& [field, name] : file.parts) {
    all.push_back(lines_of(read_data_file(plain_or_packed(folder + "/" + name))));
    check_input(all.back().size() == all.front().size(), folder, ": ", file.parts.front().second, " has ",
                all.front().size(), " lines, but ", name, " has ", all.back().size());
  }
  for (size_t i = 0; i < all.front().size(); ++i) {
    DataRow row{.fields = {}, .where = text(folder, "/", file.parts.front().second, ":", i + 1)};
    for (size_t k = 0; k < all.size(); ++k) row.fields[file.parts[k].first] = {all[k][i]};
    sink(std::move(row));
  }
}

// "label text".
void read_labelled_lines(const std::string& path, const RowSink& sink) {
  for_each_line_of(read_data_file(path), [&](const std::string& line, int64_t number) {
    if (line.find_first_not_of(kBlanks) == line.npos) return;
    const size_t blank = line.find_first_of(" \t");
    check_input(blank != line.npos && blank > 0, path, ":", number, ": no label and text with a blank between them");
    sink({{{"label", {line.substr(0, blank)}}, {"text", {line.substr(blank + 1)}}}, text(path, ":", number)});
  });
}

// Three lines a row: text with $T$, aspect, class. (ABSA-PyTorch's form of SemEval-14)
void read_aspects(const std::string& path, const RowSink& sink) {
  std::vector<std::string> lines = lines_of(read_data_file(path));
  while (!lines.empty() && lines.back().find_first_not_of(kBlanks) == std::string::npos) lines.pop_back();
  check_input(lines.size() % 3 == 0, path, ": ", lines.size(), " lines; each example has three");
  for (size_t i = 0; i + 2 < lines.size(); i += 3)
    sink({{{"text", {lines[i]}}, {"aspect", {lines[i + 1]}}, {"label", {lines[i + 2]}}}, text(path, ":", i + 1)});
}

// A class's texts: a line each, or a file each.
void read_classes(const TaskFile& file, const std::string& folder, const RowSink& sink) {
  for (const auto& [label, name] : file.parts) {
    const std::string path = folder + "/" + name;
    const auto put = [&, l = label](std::string words, std::string where) {
      sink({{{"label", {l}}, {"text", {std::move(words)}}}, std::move(where)});
    };
    if (file.format == "class_folders") {
      check_input(is_directory(path), path, ": no folder with the texts of the class ", label);
      for (const std::string& one : list_directory(path))
        if (!is_directory(path + "/" + one)) put(read_data_file(path + "/" + one), path + "/" + one);
    } else {
      for_each_line_of(read_data_file(plain_or_packed(path)), [&](const std::string& line, int64_t number) {
        if (line.find_first_not_of(kBlanks) != line.npos) put(line, text(path, ":", number));
      });
    }
  }
}

std::string from_latin1(const std::string& s) {
  std::string out;
  for (const char c : s) {
    const uint8_t byte = uint8_t(c);
    if (byte < 0x80) out += c;
    else out += char(0xC0 | byte >> 6), out += char(0x80 | (byte & 0x3F));
  }
  return out;
}

void read_file_rows(const TaskRecord& record, const TaskFile& file, const std::string& folder, Split split,
                    const RowSink& sink) {
  const std::string path = plain_or_packed(folder + "/" + file.path);
  if (file.format == "jsonl" || file.format == "json") read_json_rows(file, path, sink);
  else if (file.format == "lines") read_parallel_lines(file, folder, sink);
  else if (file.format == "labelled_lines") read_labelled_lines(path, sink);
  else if (file.format == "aspects") read_aspects(path, sink);
  else if (file.format == "class_files" || file.format == "class_folders") read_classes(file, folder, sink);
  else if (file.format == "webnlg")
    read_webnlg_rows(path, [&](DataRow row) {  // DART has no comments: its columns say that "good" are all
      for (const auto& [field, column] : file.columns) row.fields[field] = row.values(column.names.at(0));
      sink(std::move(row));
    });
  else if (file.format == "synthetic") make_synthetic_rows(record.name, split, sink);
  else read_table_rows(file, path, sink);
}

std::vector<std::string> paths_of(const TaskFile& file) {
  if (!file.path.empty()) return {file.path};
  std::vector<std::string> paths;
  for (const auto& [_, path] : file.parts) paths.push_back(path);
  return paths;
}

bool exists(const TaskFile& file, const std::string& folder) {
  if (file.format == "synthetic") return true;
  const auto paths = paths_of(file);
  return std::all_of(paths.begin(), paths.end(),
                     [&](const std::string& path) { return file_exists(plain_or_packed(folder + "/" + path)); });
}

const TaskFile& chosen(const TaskRecord& record, const std::string& folder, Split split) {
  const auto& alternatives = record.files[size_t(split)];
  if (alternatives.empty()) {
    std::string there;
    for (const Split other : {Split::train, Split::dev, Split::test})
      if (!record.files[size_t(other)].empty()) there += (there.empty() ? "" : " and ") + std::string(name_of(other));
    throw InputError(text("the task ", record.name, " has no ", name_of(split), " split with answers; it has ", there,
                          split == Split::test ? " (--split dev)" : ""));
  }
  std::vector<std::string> names;
  for (const TaskFile& file : alternatives) {
    if (exists(file, folder)) return file;
    names.push_back(listed(paths_of(file), " and "));
  }
  throw InputError(text(folder, " has no ", listed(names, " or "), ", the ", name_of(split), " split of ", record.name,
                        record.get.empty() ? "" : "\n" + record.get));
}

bool matches(const DataRow& row, const std::map<std::string, std::set<std::string>>& rules, bool all) {
  for (const auto& [field, values] : rules)
    if (bool(values.count(row.joined(field))) != all) return !all;
  return all;
}

}  // namespace

const std::vector<std::string>& file_formats() {
  static const std::vector<std::string> all = {"csv",           "tsv",     "plain_tsv",      "jsonl",
                                               "json",          "lines",   "labelled_lines", "class_files",
                                               "class_folders", "aspects", "webnlg",         "synthetic"};
  return all;
}

std::set<std::string> fields_of_format(const std::string& format) {
  if (format == "labelled_lines" || format.starts_with("class_") || format == "synthetic") return {"label", "text"};
  if (format == "aspects") return {"label", "text", "aspect"};
  if (format == "webnlg") return {"triples", "category", "lex", "good"};
  return {};
}

std::vector<DataRow> read_rows(const TaskRecord& record, const std::string& folder, Split split) {
  const TaskFile& file = chosen(record, folder, split);
  std::vector<DataRow> rows;
  int64_t number = 0;
  std::string label;  // of classes that have files of their own rows are counted apart
  read_file_rows(record, file, folder, split, [&](DataRow row) {
    if (!file.parts.empty() && file.format != "lines" && row.joined("label") != label)
      label = row.joined("label"), number = 0;
    const bool in_share = !file.share_of || file.shares.count(int(number % file.share_of));
    ++number;
    if (!in_share) return;
    if (file.latin1)
      for (auto& [_, values] : row.fields) std::transform(values.begin(), values.end(), values.begin(), from_latin1);
    if (!record.prepare.empty()) prepare(record.prepare, row);
    if (!matches(row, record.keep, true) || matches(row, record.drop, false)) return;
    rows.push_back(std::move(row));
  });
  check_input(!rows.empty(), folder, "/", listed(paths_of(file), ", "), ": the ", name_of(split), " split of ",
              record.name, " has no rows");
  return rows;
}

std::string plain_or_packed(const std::string& path) {
  return file_exists(path) || !file_exists(path + ".xz") ? path : path + ".xz";
}

}  // namespace cambium
