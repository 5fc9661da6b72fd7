// A task as data: which files it has, how a row of them becomes what a model reads, what the answers are called and
// what scores them. Every task is such a record, the built-in ones (experiments/data/tasks) and a user's own (--task
// FILE.json) alike; docs/tasks.md describes the JSON.
#pragma once

#include <array>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "experiments/lib/tasks/template.h"
#include "models/generation.h"

namespace cambium {

enum class Split : uint8_t { train, dev, test };
Split split_named(const std::string&);
const char* name_of(Split);

// Where a field's values are in a file: columns of a table by name or number, or paths of JSON ("passage.text").
struct Column {
  std::vector<std::string> names;
  int number = 0;      // from 1; 0: by name
  bool any = false;    // the values of the first name that is there; else those of all names
  bool first = false;  // only the first value
};

// One of a split's files, or several that are read together.
struct TaskFile {
  std::string format;                                      // file_formats()
  std::string path;                                        // inside the task's folder
  std::vector<std::pair<std::string, std::string>> parts;  // instead: (field or class, path); of lines and classes
  std::map<std::string, Column> columns;
  std::vector<std::string> each;  // JSON: lists of which every element makes a row of its own, outer ones first
  bool header = true;             // of tables
  bool skip_short_rows = false;   // of tables: QQP's train.tsv has rows that broke off
  bool latin1 = false;            // ISO 8859-1 instead of UTF-8
  int share_of = 0;               // rows i with i mod share_of in `shares`; 0: all
  std::set<int> shares;
};
const std::vector<std::string>& file_formats();

struct TaskLabel {
  std::set<std::string> values;  // that stand for it in the file
  std::string name;              // what text-to-text models write
  std::string word;              // at a mask; empty: none
};

// A number in place of classes (STS-B): text-to-text models write it rounded to a multiple of `step`.
struct NumberRange {
  double low = 0, high = 1, step = 0;
};

struct TaskRecord {
  std::string name, about, source;
  std::string get;      // where its files are from
  std::string shipped;  // folder of data_path() that holds them; empty: they do not ship with the program
  std::array<std::vector<TaskFile>, 3> files;  // of each split, alternatives: the first that exists is read
  std::map<std::string, std::set<std::string>> keep, drop;  // rows with (without) these values of a field
  std::string prepare;                                      // preparations() of rows, before templates see them

  std::vector<Template> encoder;             // one text or two, which are read as a pair
  std::vector<Template> cloze;               // the same with {mask} in one of them
  std::optional<Template> decoder, seq2seq;  // what stands in front of the answer
  std::map<std::string, std::string>
      instruction;  // in front of decoder and seq2seq, by the model's family; "*": others

  std::string label = "label";    // the field of the class or number
  std::vector<TaskLabel> labels;  // classes
  std::vector<Template>
      candidates;            // instead of names: answers that differ from row to row; the label is a number from 0
  bool words_bare = false;   // label words without a blank in front
  bool words_first = false;  // of a word of several tokens only the first is scored
  std::optional<NumberRange> number;
  std::optional<Template> target;  // texts
  std::string references;          // the field of all references; empty: the target alone
  std::string group;               // texts: rows of one value are one input; classes: questions of answers (MultiRC)

  std::vector<std::string> metrics;
  std::string words;             // a text that suits the task, for prompts that start from real words
  int64_t max_input_tokens = 0;  // longer inputs are cut; 0: at what the model has positions for
  GenerationOptions generation;

  bool is_classification() const { return !labels.empty(); }
};

// Throws InputError for anything that is unknown, missing, contradictory or outside the task's folder. `where` stands
// in front of messages.
TaskRecord read_record(const nlohmann::json&, const std::string& where);

}  // namespace cambium
