#include "experiments/lib/tasks/task.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/files.h"
#include "core/json.h"
#include "core/lines.h"
#include "core/path_kind.h"
#include "experiments/lib/data_path.h"
#include "experiments/lib/token_facts.h"

namespace cambium {
namespace {

double number_in(const DataRow& row, const std::string& field, const NumberRange& range) {
  const std::string digits = trimmed(row.joined(field));
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  check_input(error == std::errc() && end == digits.data() + digits.size() && value >= range.low && value <= range.high,
              row.where, ": ", field, " is \"", digits, "\"; expected a number from ", range.low, " to ", range.high);
  return value;
}

// "3.8": as many decimals as the step has; in float32 and halves to the even multiple, as TensorFlow rounds: 4.9 is
// 4.8. (Raffel et al. 2020: module preprocessors, stsb)
std::string rounded(double value, double step) {
  int decimals = 0;
  for (double s = step; decimals < 6 && std::abs(s - std::round(s)) > 1e-9; s *= 10) ++decimals;
  char digits[64];
  std::snprintf(digits, sizeof digits, "%.*f", decimals, std::nearbyint(float(value) * float(1 / step)) * step);
  return digits;
}

std::string folder_of(const TaskRecord& record, const std::string& data) {
  const auto& all = record.files;
  const bool made_up = std::any_of(all.begin(), all.end(), [](const auto& alternatives) {
    return !alternatives.empty() && alternatives.front().format == "synthetic";
  });
  if (made_up) {
    check_input(data.empty(), "--data ", data, ": the task ", record.name, " makes its texts up");
    return "";
  }
  check_input(!data.empty() || !record.shipped.empty(), "the data of ", record.name,
              " do not ship with this program; --data names the directory with its files",
              record.get.empty() ? "" : "\n", record.get);
  const std::string folder = data.empty() ? data_path(record.shipped) : data;
  check_path(folder, Wanted::folder);
  check_input(is_directory(folder), folder, ": no directory with the data of ", record.name,
              record.get.empty() ? "" : "\n", record.get);
  return folder;
}

}  // namespace

TextForm form_of(const ModelConfig& config) { return config.is_seq2seq() ? TextForm::seq2seq : TextForm::decoder; }

Task::Task(TaskRecord record, const std::string& data) : record_(std::move(record)), data_(folder_of(record_, data)) {}

std::vector<std::string> Task::labels() const {
  std::vector<std::string> names;
  for (const TaskLabel& label : record_.labels) names.push_back(label.name);
  return names;
}

const Template& Task::text_of(TextForm form) const {
  const auto& chosen = form == TextForm::decoder ? record_.decoder : record_.seq2seq;
  check_input(chosen.has_value(), "the task ", record_.name, " has no text for models that write; take an encoder");
  return *chosen;
}

std::string Task::shown(const DataRow& row) const {
  if (record_.encoder.empty()) return text_of(TextForm::decoder).fill(row);
  std::string words;
  for (const Template& t : record_.encoder) words += (words.empty() ? "" : " ") + t.fill(row);
  return words;
}

std::vector<std::string> Task::answers(const DataRow& row) const {
  if (record_.candidates.empty()) return labels();
  std::vector<std::string> all;
  for (const Template& t : record_.candidates) all.push_back(t.fill(row));
  return all;
}

std::string Task::instruction(const ModelConfig& config) const {
  const auto own = record_.instruction.find(config.family), other = record_.instruction.find("*");
  return own != record_.instruction.end() ? own->second : other != record_.instruction.end() ? other->second : "";
}

std::string Task::cleaned(const std::string& output) const {
  return trimmed(output.substr(0, output.find('\n')));
}

std::vector<LabelledRow> Task::labelled(Split split) const {
  std::map<std::string, int> classes;
  for (size_t c = 0; c < record_.labels.size(); ++c)
    for (const std::string& value : record_.labels[c].values) classes[value] = int(c);
  std::vector<LabelledRow> all;
  for (DataRow& row : read_rows(record_, data_, split)) {
    const auto bad = [&](const std::string& value) {
      std::vector<std::string> known;
      for (const auto& [one, _] : classes) known.push_back(one);
      if (known.size() > 8) known.resize(8), known.push_back("...");
      throw InputError(text(row.where, ": ", record_.label, " is \"", value, "\"; there are ", listed(known)));
    };
    LabelledRow item;
    item.label = -1;
    if (record_.number) {
      item.number = number_in(row, record_.label, *record_.number);
    } else {
      const std::string value = trimmed(row.joined(record_.label));
      const auto found = classes.find(value);
      if (found == classes.end()) bad(value);
      item.label = found->second;
    }
    const Template& words = record_.decoder           ? *record_.decoder
                            : record_.encoder.empty() ? record_.cloze.front()
                                                      : record_.encoder.front();
    bool empty = true;
    for (const std::string& field : words.fields())
      empty = empty && row.joined(field).find_first_not_of(kBlanks) == std::string::npos;
    check_input(!empty, row.where, ": an empty text");
    item.row = std::move(row);
    all.push_back(std::move(item));
  }
  return all;
}

// A template of one field with several values stands for as many texts.
std::vector<std::string> Task::targets(const DataRow& row) const {
  const std::vector<std::string> fields = record_.target->fields();
  if (fields.size() != 1 || row.values(fields.front()).size() == 1) return {record_.target->fill(row)};
  std::vector<std::string> all;
  for (const std::string& value : row.values(fields.front())) {
    DataRow one = row;
    one.fields[fields.front()] = {value};
    all.push_back(record_.target->fill(one));
  }
  return all;
}

std::vector<TextPair> Task::examples(Split split, TextForm form) const {
  const Template& input = text_of(form);
  std::vector<TextPair> all;
  if (is_classification() || is_number()) {
    for (const LabelledRow& item : labelled(split))
      all.push_back({input.fill(item.row), " " + (is_number() ? rounded(item.number, record_.number->step)
                                                              : answers(item.row)[size_t(item.label)])});
    return all;
  }
  for (const DataRow& row : read_rows(record_, data_, split))
    reading(row.where, [&] {
      for (const std::string& target : targets(row)) all.push_back({input.fill(row), " " + target});
    });
  check_input(!all.empty(), "the ", name_of(split), " split of ", record_.name, " has no texts to learn");
  return all;
}

std::vector<EvaluationItem> Task::items(Split split, TextForm form) const {
  const Template& input = text_of(form);
  std::vector<EvaluationItem> all;
  if (is_classification() || is_number()) {
    for (const LabelledRow& item : labelled(split))
      all.push_back(
          {input.fill(item.row),
           {is_number() ? trimmed(item.row.joined(record_.label)) : answers(item.row)[size_t(item.label)]}});
    return all;
  }
  std::map<std::string, size_t> seen;
  for (const DataRow& row : read_rows(record_, data_, split))
    reading(row.where, [&] {
      size_t place = all.size();
      if (!record_.group.empty()) place = seen.emplace(row.joined(record_.group), place).first->second;
      if (place == all.size()) all.push_back({input.fill(row), {}});
      const auto references = record_.references.empty() ? targets(row) : row.values(record_.references);
      all[place].references.insert(all[place].references.end(), references.begin(), references.end());
    });
  return all;
}

std::vector<std::string> task_names() {
  std::vector<std::string> names;
  for (const std::string& name : list_directory(data_path("tasks")))
    if (name.ends_with(".json")) names.push_back(name.substr(0, name.size() - 5));
  return names;
}

TaskRecord built_in_record(const std::string& name) {
  const auto names = task_names();
  if (!std::binary_search(names.begin(), names.end(), name))
    throw InputError(text("--task ", name, ": there are ", listed(names), "; or name the .json file of your own"));
  const std::string path = data_path("tasks") + "/" + name + ".json";
  TaskRecord record = read_record(parse_json_file(path), path);
  check_input(record.name == name, path, ": its name is ", record.name);
  return record;
}

std::unique_ptr<Task> make_task(const std::string& name, const std::string& data) {
  if (!name.ends_with(".json")) return std::make_unique<Task>(built_in_record(name), data);
  check_path(name, Wanted::json);
  constexpr int64_t kRecordBytes = 1 << 20;
  TaskRecord record = read_record(parse_json_file(name, kRecordBytes), name);
  check_input(record.shipped.empty(), name, ": \"shipped\" is for the tasks that ship with the program");
  const size_t slash = name.rfind('/');
  return std::make_unique<Task>(std::move(record), !data.empty()        ? data
                                                   : slash == name.npos ? "."
                                                                        : name.substr(0, std::max<size_t>(slash, 1)));
}

namespace {

int32_t end_token(const ModelConfig& config) {
  for (const int32_t id : config.eos)
    if (id >= 0 && id < config.vocabulary) return id;
  throw InputError(text("this model's configuration names no end token ",
                        config.eos.empty() ? "" : text("inside its vocabulary of ", config.vocabulary, " "),
                        "(eos_token_id): outputs would never end"));
}

}  // namespace

Sequence with_target(std::vector<int32_t> prompt, const std::string& target, const Tokenizer& tokenizer,
                     const ModelConfig& config, int64_t index) {
  Sequence s;
  s.index = index;
  const int32_t end = end_token(config);
  s.ids = std::move(prompt);
  if (config.is_seq2seq()) {  // a text of its own, with BART's first token as in pre-training
    s.labels = framing_of(tokenizer).around(tokenizer.encode(target.substr(target.starts_with(' ')), false));
    if (s.labels.empty() || s.labels.back() != end) s.labels.push_back(end);
    return s;
  }
  std::vector<int32_t> ids = tokenizer.encode(target, false);
  ids.push_back(end);
  s.labels.assign(s.ids.size(), kNotScored);
  s.ids.insert(s.ids.end(), ids.begin(), ids.end());
  s.labels.insert(s.labels.end(), ids.begin(), ids.end());
  return s;
}

Sequence to_sequence(const TextPair& pair, const Tokenizer& tokenizer, const ModelConfig& config, int64_t index,
                     int64_t longest) {
  return with_target(to_prompt(pair.input, tokenizer, config, longest), pair.target, tokenizer, config, index);
}

std::vector<int32_t> to_prompt(const std::string& input, const Tokenizer& tokenizer, const ModelConfig& config,
                               int64_t longest) {
  const Framing framing = input_framing(tokenizer, config);
  std::vector<int32_t> ids = tokenizer.encode(input, false);
  const int64_t room = longest - int64_t(framing.before.size() + framing.after.size());
  if (longest > 0 && int64_t(ids.size()) > room) ids.resize(size_t(std::max<int64_t>(0, room)));
  return framing.around(ids);
}

Framing input_framing(const Tokenizer& tokenizer, const ModelConfig& config) {
  Framing framing = framing_of(tokenizer);
  if (!config.is_seq2seq() && !config.is_encoder()) framing.after.clear();
  return framing;
}

}  // namespace cambium
