#include "experiments/lib/tasks/record.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/json.h"
#include "core/json_integer.h"
#include "experiments/lib/metrics/metric.h"
#include "experiments/lib/tasks/prepare.h"
#include "experiments/lib/tasks/rows.h"

namespace cambium {
namespace {

using nlohmann::json;

void check_keys(const json& object, const char* what, const std::vector<std::string>& known) {
  check_input(object.is_object(), what, " is ", brief(object), "; expected an object");
  for (const auto& [key, _] : object.items())
    check_input(std::find(known.begin(), known.end(), key) != known.end(), "\"", key, "\" is no key of ", what,
                "; there are ", listed(known));
}

// "a", or ["a", "b"].
std::vector<std::string> one_or_several(const json& value, const std::string& what) {
  std::vector<std::string> all;
  const json list = value.is_array() ? value : json::array({value});
  for (const json& one : list) {
    check_input(one.is_string(), what, " is ", brief(value), "; expected a text or a list of texts");
    all.push_back(one);
  }
  return all;
}

std::vector<std::string> find_several(const json& object, const char* name) {
  const json* value = find_field(object, name);
  return value ? one_or_several(*value, text("\"", name, "\"")) : std::vector<std::string>();
}

// A path that stays inside the task's folder.
std::string inner_path(const json& value) {
  check_input(value.is_string() && !value.get_ref<const std::string&>().empty(), "a file's \"path\" is ", brief(value),
              "; expected a text");
  const std::filesystem::path path(value.get<std::string>());
  const bool leaves = path.is_absolute() || std::find(path.begin(), path.end(), "..") != path.end();
  check_input(!leaves, "the path ", brief(value), " leaves the task's folder");
  return value;
}

Column column_of(const json& value) {
  Column column;
  if (value.is_number()) {
    check_input(is_int(value, 1, 10000), "a column has the number ", brief(value), "; expected 1 to 10000");
    column.number = value.get<int>();
  } else if (value.is_object()) {
    check_keys(value, "a column", {"any", "first"});
    column.any = find_field(value, "any"), column.first = find_field(value, "first");
    check_input(column.any != column.first, "a column is ", brief(value), "; expected \"any\" or \"first\"");
    if (column.any) column.names = get_strings(value, "any");
    else column.names = {get_string(value, "first")};
  } else {
    column.names = one_or_several(value, "a column");
  }
  check_input(column.number || !column.names.empty(), "a column is ", brief(value), "; it has no name");
  return column;
}

std::map<std::string, Column> columns_of(const json& object) {
  check_input(object.is_object(), "\"columns\" is ", brief(object), "; expected an object");
  std::map<std::string, Column> all;
  for (const auto& [field, value] : object.items()) {
    const bool plain = !field.empty() && field != "mask" && field.find_first_of("{}|") == field.npos;
    check_input(plain, "a field cannot be called ", brief(json(field)));
    all[field] = column_of(value);
  }
  return all;
}

const std::vector<std::string> kFormKeys = {"format",          "columns", "each",    "header",
                                            "skip_short_rows", "share",   "encoding"};

// What an object says of how a file is read; the rest stays as it is.
void read_form(const json& j, TaskFile& file) {
  if (const auto format = find_string(j, "format")) file.format = *format;
  if (const json* columns = find_field(j, "columns")) file.columns = columns_of(*columns);
  if (find_field(j, "each")) file.each = find_several(j, "each");
  file.header = find_bool(j, "header").value_or(file.header);
  file.skip_short_rows = find_bool(j, "skip_short_rows").value_or(file.skip_short_rows);
  if (const auto encoding = find_string(j, "encoding")) {
    check_input(*encoding == "utf-8" || *encoding == "latin1", "\"encoding\" is ", brief(json(*encoding)),
                "; there are utf-8 and latin1");
    file.latin1 = *encoding == "latin1";
  }
  if (const json* share = find_field(j, "share")) {
    check_keys(*share, "\"share\"", {"of", "rows"});
    file.share_of = int(get_int(*share, "of", 1, 1000000));
    file.shares.clear();
    for (const int64_t i : get_ints(*share, "rows", 0, file.share_of - 1)) file.shares.insert(int(i));
    check_input(!file.shares.empty(), "\"share\" takes no rows");
  }
}

TaskFile file_of(const json& j, const TaskFile& form) {
  TaskFile file = form;
  if (j.is_string()) {
    file.path = inner_path(j);
  } else {
    std::vector<std::string> keys = kFormKeys;
    keys.push_back("path");
    check_keys(j, "a file", keys);
    const json* path = find_field(j, "path");
    check_input(path, "a file has no \"path\"");
    if (path->is_object())
      for (const auto& [name, value] : path->items()) file.parts.emplace_back(name, inner_path(value));
    else file.path = inner_path(*path);
    read_form(j, file);
  }
  const auto& known = file_formats();
  check_input(std::find(known.begin(), known.end(), file.format) != known.end(), "the format of ", brief(j), " is \"",
              file.format, "\"; there are ", listed(known));
  const bool together = file.format == "lines" || file.format == "class_files" || file.format == "class_folders";
  check_input(together != file.parts.empty(), "the format ", file.format,
              together ? " needs a \"path\" of several names, as {\"text\": \"texts.txt\"}" : " needs one \"path\"");
  return file;
}

void read_files(const json& j, const TaskFile& form, TaskRecord& r) {
  check_keys(j, "\"files\"", {"train", "dev", "test"});
  for (const auto& [split, value] : j.items()) {
    const json list = value.is_array() ? value : json::array({value});
    for (const json& one : list) r.files[size_t(split_named(split))].push_back(file_of(one, form));
  }
  check_input(!j.empty(), "\"files\" is empty");
}

std::vector<Template> templates_of(const json& input, const char* name) {
  std::vector<Template> all;
  for (const std::string& source : find_several(input, name)) all.emplace_back(source);
  check_input(all.size() <= 2, "\"input\" has ", all.size(), " texts for ", name, "; a model reads one or two");
  return all;
}

std::optional<Template> template_of(const json& object, const char* name) {
  const auto source = find_string(object, name);
  return source ? std::optional(Template(*source)) : std::nullopt;
}

void read_input(const json& j, TaskRecord& r) {
  check_keys(j, "\"input\"", {"encoder", "cloze", "decoder", "seq2seq", "instruction"});
  r.encoder = templates_of(j, "encoder"), r.cloze = templates_of(j, "cloze");
  r.decoder = template_of(j, "decoder"), r.seq2seq = template_of(j, "seq2seq");
  if (!r.decoder) r.decoder = r.seq2seq;
  if (!r.seq2seq) r.seq2seq = r.decoder;
  check_input(r.decoder || !r.encoder.empty() || !r.cloze.empty(), "\"input\" has no template");
  int masks = 0;
  for (const Template& t : r.cloze) masks += t.masks();
  check_input(r.cloze.empty() || masks == 1, "\"cloze\" has {mask} ", masks, " times; it needs it once");
  for (const Template& t : r.encoder) check_input(!t.masks(), "{mask} is for \"cloze\"");
  for (const auto& t : {r.decoder, r.seq2seq}) check_input(!t || !t->masks(), "{mask} is for \"cloze\"");
  const json* instruction = find_field(j, "instruction");
  if (!instruction) return;
  if (instruction->is_string()) {
    r.instruction["*"] = *instruction;
    return;
  }
  check_input(instruction->is_object(), "\"instruction\" is ", brief(*instruction), "; expected a text or an object");
  for (const auto& [family, _] : instruction->items()) r.instruction[family] = get_string(*instruction, family);
}

void read_labels(const json& list, TaskRecord& r) {
  check_input(list.is_array() && list.size() >= 2 && list.size() <= 1000, "\"labels\" is ", brief(list),
              "; expected a list of 2 to 1000");
  std::set<std::string> values, names;
  for (const json& j : list) {
    check_keys(j, "a label", {"value", "name", "word"});
    TaskLabel label{.name = get_string(j, "name"), .word = find_string(j, "word").value_or("")};
    for (const std::string& value : find_several(j, "value")) label.values.insert(value);
    if (label.values.empty()) label.values = {label.name};
    for (const std::string& value : label.values)
      check_input(values.insert(value).second, "two labels have the value \"", value, "\"");
    check_input(!label.name.empty() && names.insert(label.name).second, "two labels are called \"", label.name, "\"");
    r.labels.push_back(std::move(label));
  }
}

void read_answers(const json& j, TaskRecord& r) {
  const json *labels = find_field(j, "labels"), *number = find_field(j, "number"), *target = find_field(j, "target");
  check_input(!!labels + !!number + !!target == 1,
              "a task has one of \"labels\" (classes), \"number\" and \"target\" (texts)");
  r.label = find_string(j, "label").value_or(r.label);
  r.group = find_string(j, "group").value_or("");
  if (labels) read_labels(*labels, r);
  for (const std::string& source : find_several(j, "candidates")) r.candidates.emplace_back(source);
  check_input(r.candidates.empty() || r.candidates.size() == r.labels.size(), "there are ", r.candidates.size(),
              " \"candidates\" and ", r.labels.size(), " \"labels\"");
  if (number) {
    check_keys(*number, "\"number\"", {"low", "high", "step"});
    r.number = {get_number(*number, "low"), get_number(*number, "high"), get_number(*number, "step", 1e-6)};
    check_input(r.number->low < r.number->high, "\"number\": low is not below high");
  }
  r.target = template_of(j, "target");
  check_input(!r.target || !r.target->masks(), "{mask} is for \"cloze\"");
  r.references = find_string(j, "references").value_or("");
  const std::string form = find_string(j, "words_are").value_or("");
  check_input(form.empty() || form == "bare" || form == "bare_first", "\"words_are\" is \"", form,
              "\"; there are bare and bare_first");
  r.words_bare = !form.empty(), r.words_first = form == "bare_first";
  check_input(!target || r.decoder, "a task of texts needs \"input\" with \"decoder\" or \"seq2seq\"");
  const bool worded = std::all_of(r.labels.begin(), r.labels.end(), [](const TaskLabel& l) { return !l.word.empty(); });
  check_input(r.cloze.empty() || (labels && worded), "\"cloze\" needs \"labels\", each with a \"word\"");
}

// Every field that a template or a rule names must come from somewhere.
void check_fields(const TaskRecord& r) {
  std::set<std::string> used{r.is_classification() || r.number ? r.label : ""};
  for (const auto* list : {&r.encoder, &r.cloze, &r.candidates})
    for (const Template& t : *list)
      for (const std::string& field : t.fields()) used.insert(field);
  for (const auto& t : {r.decoder, r.seq2seq, r.target})
    if (t)
      for (const std::string& field : t->fields()) used.insert(field);
  used.insert(r.group), used.insert(r.references);
  for (const auto* rules : {&r.keep, &r.drop})
    for (const auto& [field, _] : *rules) used.insert(field);
  used.erase("");
  for (const std::string& field : fields_made_by(r.prepare)) used.erase(field);
  for (const auto& alternatives : r.files)
    for (const TaskFile& file : alternatives) {
      std::set<std::string> made = fields_of_format(file.format);
      for (const auto& [name, _] : file.columns) made.insert(name);
      if (file.format == "lines")
        for (const auto& [name, _] : file.parts) made.insert(name);
      for (const std::string& field : used)
        check_input(made.count(field), "the field \"", field, "\" is used, but no column of ",
                    file.path.empty() ? "its files" : file.path, " gives it");
    }
}

std::map<std::string, std::set<std::string>> rules_of(const json& j, const char* name) {
  std::map<std::string, std::set<std::string>> rules;
  const json* object = find_field(j, name);
  if (!object) return rules;
  check_input(object->is_object(), "\"", name, "\" is ", brief(*object), "; expected an object");
  for (const auto& [field, value] : object->items())
    for (const std::string& one : one_or_several(value, text("\"", name, "\""))) rules[field].insert(one);
  return rules;
}

TaskRecord record_of(const json& j) {
  check_keys(j, "a task",
             {"name",
              "about",
              "source",
              "get",
              "shipped",
              "files",
              "format",
              "columns",
              "each",
              "header",
              "keep",
              "drop",
              "prepare",
              "input",
              "label",
              "labels",
              "candidates",
              "words_are",
              "number",
              "target",
              "references",
              "group",
              "metrics",
              "words",
              "max_input_tokens",
              "max_new_tokens",
              "skip_short_rows",
              "share",
              "encoding"});
  TaskRecord r;
  r.name = get_string(j, "name");
  const bool plain = !r.name.empty() && r.name.size() <= 64 &&
                     r.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_-") == r.name.npos;
  check_input(plain, "\"name\" is ", brief(j["name"]), "; expected small letters, digits, _ and -, at most 64");
  r.about = find_string(j, "about").value_or(""), r.source = find_string(j, "source").value_or("");
  r.get = find_string(j, "get").value_or(""), r.shipped = find_string(j, "shipped").value_or("");
  if (!r.shipped.empty()) inner_path(r.shipped);
  r.prepare = find_string(j, "prepare").value_or("");
  fields_made_by(r.prepare);
  r.keep = rules_of(j, "keep"), r.drop = rules_of(j, "drop");
  TaskFile form;
  read_form(j, form);
  read_files(get_object(j, "files"), form, r);
  read_input(get_object(j, "input"), r);
  read_answers(j, r);
  r.metrics = find_several(j, "metrics");
  const auto known = metrics::metric_names();
  check_input(!r.metrics.empty(), "\"metrics\" names none; there are ", listed(known));
  for (const std::string& m : r.metrics)
    check_input(std::find(known.begin(), known.end(), m) != known.end(), "\"metrics\" has ", brief(json(m)),
                "; there are ", listed(known));
  r.words = find_string(j, "words").value_or(r.about);
  r.max_input_tokens = find_int(j, "max_input_tokens", 0, 1 << 24).value_or(0);
  r.generation.max_new_tokens = find_int(j, "max_new_tokens", 1, 1 << 20).value_or(r.is_classification() ? 4 : 64);
  check_fields(r);
  return r;
}

}  // namespace

Split split_named(const std::string& name) {
  if (name == "train") return Split::train;
  if (name == "dev") return Split::dev;
  if (name == "test") return Split::test;
  throw InputError(text("--split ", name, ": there are train, dev and test"));
}

const char* name_of(Split split) { return split == Split::train ? "train" : split == Split::dev ? "dev" : "test"; }

TaskRecord read_record(const json& j, const std::string& where) {
  return reading(where, [&] {
    check_input(j.is_object(), "a task is an object, not ", brief(j));
    return record_of(j);
  });
}

}  // namespace cambium
