#include "experiments/lib/tasks/summaries.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/csv.h"
#include "core/files.h"
#include "core/json.h"
#include "core/lines.h"
#include "core/path_kind.h"
#include "experiments/lib/data_path.h"

namespace cambium {
namespace {

using nlohmann::json;

constexpr const char* kBlanks = " \t\r\n";

// Objects of a file of JSON lines, or of one list; f(object, where) may throw for what is wrong with it.
void for_each_object(const std::string& path, const std::function<void(const json&)>& f) {
  const std::string contents = read_data_file(path);
  const std::string_view plain = without_byte_order_mark(contents);
  if (const size_t start = plain.find_first_not_of(kBlanks); start != plain.npos && plain[start] == '[') {
    const json list = parse_json(plain, path);
    for (size_t i = 0; i < list.size(); ++i) reading(text(path, ", entry ", i + 1), [&] { f(list[i]); });
    return;
  }
  for_each_line_of(plain, [&](const std::string& line, int64_t number) {
    if (line.find_first_not_of(kBlanks) == line.npos) return;
    const std::string where = text(path, ":", number);
    const json object = parse_json(line, where);
    reading(where, [&] { f(object); });
  });
}

// The first of the names that the object has.
std::string field(const json& object, const std::vector<const char*>& names) {
  for (const char* name : names)
    if (find_field(object, name)) return get_string(object, name);
  return get_string(object, names.front());
}

// A text on one line with single blanks.
std::string squeezed(const std::string& s) {
  std::string line;
  for (const char c : s) {
    const bool blank = c == ' ' || c == '\n' || c == '\r' || c == '\t';
    if (!blank) line += c;
    else if (!line.empty() && line.back() != ' ') line += ' ';
  }
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace

std::vector<TextPair> SummaryTask::examples(Split split) const {
  std::vector<TextPair> all;
  for (const Document& d : documents(split))
    for (const std::string& summary : d.summaries) all.push_back({d.text, " " + summary});
  return all;
}

std::vector<EvaluationItem> SummaryTask::items(Split split) const {
  std::vector<EvaluationItem> all;
  for (const Document& d : documents(split)) all.push_back({d.text, d.summaries});
  return all;
}

SummaryFilesTask::SummaryFilesTask(std::string name, Fields text, Fields summary, const std::string& data)
    : name_(std::move(name)), data_(data), text_(std::move(text)), summary_(std::move(summary)) {
  check_input(!data.empty(), "the data of ", name_,
              " do not ship with this program; --data names the directory with its train, val and test files");
  check_path(data, Wanted::folder);
  check_input(is_directory(data), data, ": no directory with the data of ", name_);
}

std::vector<SummaryTask::Document> SummaryFilesTask::documents(Split split) const {
  const std::vector<std::string> stems = split == Split::train ? std::vector<std::string>{"train"}
                                         : split == Split::dev ? std::vector<std::string>{"val", "validation", "dev"}
                                                               : std::vector<std::string>{"test"};
  std::string path;
  for (const std::string& stem : stems)
    for (const char* ending : {".jsonl", ".json", ".jsonl.xz", ".json.xz"})
      if (path.empty() && file_exists(data_ + "/" + stem + ending)) path = data_ + "/" + stem + ending;
  check_input(!path.empty(), data_, " has no ", stems.front(), ".jsonl or ", stems.front(), ".json");
  std::vector<Document> all;
  for_each_object(path, [&](const json& object) {
    all.push_back({squeezed(field(object, text_)), {squeezed(field(object, summary_))}});
  });
  return all;
}

SciTldrTask::SciTldrTask(const std::string& data) : data_(data.empty() ? data_path("scitldr") : data) {
  check_path(data_, Wanted::folder);
  check_input(is_directory(data_), data_, ": no directory with the SciTLDR data (train.jsonl, dev.jsonl, test.jsonl)");
}

std::vector<SummaryTask::Document> SciTldrTask::documents(Split split) const {
  const char* stem = split == Split::train ? "train" : split == Split::dev ? "dev" : "test";
  std::vector<Document> all;
  for_each_object(plain_or_packed(text(data_, "/", stem, ".jsonl")), [&](const json& object) {
    Document d;
    for (const std::string& sentence : get_strings(object, "source"))
      d.text += (d.text.empty() ? "" : " ") + squeezed(sentence);
    for (const std::string& target : get_strings(object, "target")) d.summaries.push_back(squeezed(target));
    check_input(!d.text.empty() && !d.summaries.empty(), "a paper without source or target");
    all.push_back(std::move(d));
  });
  return all;
}

}  // namespace cambium
