#include "experiments/lib/tasks/prepare.h"

#include <algorithm>
#include <charconv>

#include "core/error.h"
#include "core/json.h"
#include "core/lines.h"
#include "experiments/lib/tasks/filters.h"
#include "tuning/options.h"

namespace cambium {
namespace {

int64_t number_of(const std::string& digits, const std::string& what) {
  int64_t value = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  check_input(error == std::errc() && end == digits.data() + digits.size() && value >= 0, what, " is \"", digits,
              "\"; expected a number from 0");
  return value;
}

// "subject | relation | object" each -> "subject : relation : object | ... ||" in the field `linearised`.
// (XiangLi1999/PrefixTuning, module train_control; DART's relations in lower case)
void triples(DataRow& row, bool lower) {
  std::string line;
  for (const std::string& triple : row.values("triples")) {
    std::vector<std::string> parts;
    for (const std::string& part : split(triple, '|')) parts.push_back(trimmed(part));
    check_input(parts.size() == 3, "the triple \"", triple, "\" has ", parts.size(), " parts; expected 3");
    if (lower) parts[1] = lower_case(parts[1]);
    line += text(line.empty() ? "" : " | ", parts[0], " : ", parts[1], " : ", parts[2]);
  }
  check_input(!line.empty(), "there are no triples");
  row.fields["linearised"] = {line + " ||"};
}

// The bytes of characters [begin, end] of UTF-8.
std::string characters(const std::string& text, int64_t begin, int64_t end) {
  size_t from = text.size(), to = text.size();
  int64_t number = -1;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((uint8_t(text[i]) & 0xC0) == 0x80) continue;
    ++number;
    if (number == begin) from = i;
    if (number == end + 1) {
      to = i;
      break;
    }
  }
  check_input(begin <= end && end <= number, "an entity lies at ", begin, " to ", end, ", outside its passage");
  return text.substr(from, to - from);
}

// ReCoRD: the passage's entities by their places (both ends included), each once, sorted; answers likewise.
// (Zhang et al. 2018; module preprocessors, record: "a, b, c")
void record(DataRow& row) {
  const std::string passage = row.joined("passage");
  const auto &begin = row.values("start"), &end = row.values("end");
  check_input(begin.size() == end.size() && !begin.empty(), "a passage has ", begin.size(), " starts of entities and ",
              end.size(), " ends");
  std::set<std::string> entities;
  for (size_t i = 0; i < begin.size(); ++i)
    entities.insert(
        characters(passage, number_of(begin[i], "an entity's start"), number_of(end[i], "an entity's end")));
  std::string list;
  for (const std::string& entity : entities) list += (list.empty() ? "" : ", ") + entity;
  row.fields["entities"] = {list};
  const std::set<std::string> answers(row.values("answers").begin(), row.values("answers").end());
  row.fields["answers"].assign(answers.begin(), answers.end());
}

// WSC: the field `marked` is the text with its pronoun, word span2_index, as *pronoun*. (module preprocessors, wsc_simple)
void wsc(DataRow& row) {
  std::vector<std::string> words = split(row.joined("text"), ' ');
  const int64_t place = number_of(row.joined("span2_index"), "span2_index");
  check_input(place < int64_t(words.size()), "span2_index ", place, " lies behind the text's ", words.size(), " words");
  std::string& word = words[size_t(place)];
  const std::string pronoun = row.joined("span2_text");
  // A mark may stick to the word, and the index may be one too small: "use it ,".
  const size_t at = word.find(pronoun);
  if (at != word.npos) word.replace(at, pronoun.size(), "*" + pronoun + "*");
  else {
    const auto next = std::find(words.begin() + place, words.end(), pronoun);
    check_input(next != words.end(), "the pronoun \"", pronoun, "\" is not word ", place, " of its text");
    *next = "*" + pronoun + "*";
  }
  std::string marked;
  for (const std::string& w : words) marked += (marked.empty() ? "" : " ") + w;
  row.fields["marked"] = {trimmed(marked)};
}

// SemEval-14 as ABSA-PyTorch keeps it: the aspect goes back into its place, $T$.
void aspect(DataRow& row) {
  std::string sentence = row.joined("text");
  const std::string term = row.joined("aspect");
  const size_t at = sentence.find("$T$");
  check_input(at != sentence.npos, "there is no $T$ for the aspect \"", term, "\"");
  sentence.replace(at, 3, term);
  row.fields["sentence"] = {sentence};
}

// COPA as a language model reads it: what asks for the cause goes on with "because". (Brown et al. 2020, figure G.12)
void because(DataRow& row) {
  const std::string question = row.joined("question");
  check_input(question == "cause" || question == "effect", "the question is \"", question,
              "\"; there are cause and effect");
  row.fields["link"] = {question == "cause" ? "because" : "so"};
}

// TREC's labels have two parts, of which the first counts: "DESC:manner".
void coarse(DataRow& row) {
  const std::string label = row.joined("label");
  row.fields["label"] = {label.substr(0, label.find(':'))};
}

struct Preparation {
  const char* name;
  std::set<std::string> makes;
  void (*apply)(DataRow&);
};

const std::vector<Preparation>& all_preparations() {
  static const std::vector<Preparation> all = {{"aspect", {"sentence"}, aspect},
                                               {"because", {"link"}, because},
                                               {"coarse", {}, coarse},
                                               {"record", {"entities"}, record},
                                               {"triples", {"linearised"}, [](DataRow& row) { triples(row, false); }},
                                               {"triples_lower", {"linearised"}, [](DataRow& row) { triples(row, true); }},
                                               {"wsc", {"marked"}, wsc}};
  return all;
}

}  // namespace

std::vector<std::string> preparations() {
  std::vector<std::string> names;
  for (const Preparation& p : all_preparations()) names.emplace_back(p.name);
  return names;
}

std::set<std::string> fields_made_by(const std::string& preparation) {
  if (preparation.empty()) return {};
  for (const Preparation& p : all_preparations())
    if (p.name == preparation) return p.makes;
  throw InputError(text("\"prepare\" is \"", preparation, "\"; there are ", listed(preparations())));
}

void prepare(const std::string& preparation, DataRow& row) {
  for (const Preparation& p : all_preparations())
    if (p.name == preparation) reading(row.where, [&] { p.apply(row); });
}

}  // namespace cambium
