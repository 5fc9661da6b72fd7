// METEOR's normaliser and dictionaries; the files are described in experiments/data/meteor/README.md.
#include "experiments/lib/metrics/meteor_words.h"

#include <libstemmer.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "core/csv.h"
#include "core/error.h"
#include "experiments/lib/data_path.h"
#include "experiments/lib/metrics/e2e.h"
#include "experiments/lib/metrics/text.h"

namespace cambium::metrics {
namespace {

constexpr const char *kPrefixes = "meteor/english.prefixes", *kSynsets = "meteor/english.synsets.xz",
                     *kExceptions = "meteor/english.exceptions.xz", *kFunctionWords = "meteor/english.words",
                     *kParaphrases = "meteor/paraphrases.xz";

using namespace std::string_literals;

// Calls f(line) for each line; a last line without its newline counts.
template <class F>
void for_each_line(std::string_view text, F&& f) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    f(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// --- normalisation

// METEOR's own alphabet: Latin with its extensions, Cyrillic, phonetic letters.
const std::string kAlpha =
    R"(A-Za-z\x{160}\x{17d}\x{161}\x{17e}\x{178}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{17e}\x{400}-\x{4ff})"
    R"(\x{500}-\x{527}\x{a640}-\x{a66e}\x{a67e}-\x{a697}\x{1d00}-\x{1d7f})";

const std::vector<Substitution>& substitutions() {
  const auto regex = [](const std::string& pattern) { return Regex(pattern, Regex::unicode); };
  static const std::vector<Substitution> list = {
      {regex("([^0-9" + kAlpha + R"(\s.'`,\-\x{2018}\x{2019}]))"), " $1 "},
      {regex(R"((\.{2,}))"), " $1 "},  // dots in a row stay together
      {regex("([^0-9]),([^0-9])"), "$1 , $2"},
      {regex("([0-9]),([^0-9])"), "$1 , $2"},
      {regex("([^0-9]),([0-9])"), "$1 , $2"},
      {regex(R"([`\x{2018}\x{2019}])"), "'"},
      {regex(R"([\x{201c}\x{201d}]|'')"), " \" "},
      {regex(R"(\x{2013})"), "-"},
      {regex("--"), "-"},
      {regex("([0-9" + kAlpha + ".])-([0-9" + kAlpha + "])"), "$1 $2"},
      {regex("([^" + kAlpha + "])'([^" + kAlpha + "])"), "$1 ' $2"},
      {regex("([^" + kAlpha + "0-9])'([" + kAlpha + "])"), "$1 ' $2"},
      {regex("([" + kAlpha + "])'([^" + kAlpha + "])"), "$1 ' $2"},
      {regex("([" + kAlpha + "])'([" + kAlpha + "])"), "$1 '$2"},
      {regex("([0-9])'(s)"), "$1 '$2"},
  };
  return list;
}

// Prefixes whose full stop does not end a sentence: always, or only before a number.
struct Prefixes {
  std::set<std::string, std::less<>> always, before_number;
};

const Prefixes& prefixes() {
  static const Prefixes lists = [] {
    Prefixes read;
    const std::string file = read_data_file(data_path(kPrefixes), 1 << 20);
    for_each_line(file, [&](std::string_view line) {
      const auto words = split(line);
      if (words.empty() || words[0].front() == '#') return;
      const bool number = words.size() > 1 && words[1] == "#NUMERIC_ONLY#";
      (number ? read.before_number : read.always).emplace(words[0]);
    });
    return read;
  }();
  return lists;
}

bool starts_with(std::string_view word, char first, char last) {
  return !word.empty() && word[0] >= first && word[0] <= last;
}

// What becomes of a word that ends in a full stop, given the next word (empty at the end).
std::string settle_full_stop(std::string_view word, std::string_view next) {
  static const Regex letter(".*?[" + kAlpha + "]", Regex::unicode | Regex::anchored);
  const std::string_view stem = word.substr(0, word.size() - 1);
  if (stem.find_first_not_of('.') == std::string_view::npos) return std::string(word);  // only dots
  if (stem.find('.') != std::string_view::npos && letter.match_at(stem, 0).end > 0) {
    std::string letters(word);  // an acronym: U.S. becomes us
    std::erase(letters, '.');
    return letters;
  }
  const bool keeps = prefixes().always.contains(stem) || starts_with(next, 'a', 'z') ||
                     (prefixes().before_number.contains(stem) && starts_with(next, '0', '9'));
  return keeps ? std::string(word) : std::string(stem) + " .";
}

// --- dictionaries

// A dictionary of two-line entries (key, values), sorted by key for look-up.
class Dictionary {
 public:
  explicit Dictionary(std::string file) : file_(std::move(file)) {
    std::string_view key;
    bool is_key = true;
    for_each_line(file_, [&](std::string_view line) {
      if (is_key) key = line;
      else entries_.emplace_back(key, line);
      is_key = !is_key;
    });
    if (!std::is_sorted(entries_.begin(), entries_.end())) std::sort(entries_.begin(), entries_.end());
  }
  Dictionary(const Dictionary&) = delete;

  const std::vector<std::pair<std::string_view, std::string_view>>& entries() const { return entries_; }
  const std::string_view* find(std::string_view key) const {
    const auto place = std::lower_bound(entries_.begin(), entries_.end(), key,
                                        [](const auto& entry, std::string_view k) { return entry.first < k; });
    return place != entries_.end() && place->first == key ? &place->second : nullptr;
  }

 private:
  std::string file_;
  std::vector<std::pair<std::string_view, std::string_view>> entries_;
};

struct WordNet {
  Dictionary synsets{read_data_file(data_path(kSynsets), 64 << 20)};
  Dictionary inflected{read_data_file(data_path(kExceptions), 64 << 20)};
  std::unordered_map<std::string_view, std::vector<std::string_view>> bases;  // irregular form -> base forms
  std::set<std::string, std::less<>> function_words;

  WordNet() {
    for (const auto& [base, forms] : inflected.entries())
      for (const std::string_view form : split(forms)) bases[form].push_back(base);
    for_each_line(function_file_, [&](std::string_view line) { function_words.emplace(line); });
  }

 private:
  std::string function_file_ = read_data_file(data_path(kFunctionWords), 1 << 20);
};

const WordNet& wordnet() {
  static const WordNet loaded;
  return loaded;
}

void add_synsets(const std::string_view* numbers, std::vector<int>& synsets) {
  if (!numbers) return;
  for (const std::string_view number : split(*numbers)) {
    int value = 0;
    std::from_chars(number.data(), number.data() + number.size(), value);
    synsets.push_back(value);
  }
}

// WordNet's morphology as METEOR applies it: the first of these endings that leads to a known word.
std::string base_form(const std::string& word) {
  static constexpr std::pair<const char*, const char*> kEndings[] = {
      {"s", ""},      {"ses", "s"}, {"xes", "x"}, {"zes", "z"}, {"ches", "ch"}, {"shes", "sh"},
      {"men", "man"}, {"ies", "y"}, {"es", "e"},  {"es", ""},   {"ed", "e"},    {"ed", ""},
      {"ing", "e"},   {"ing", ""},  {"er", ""},   {"est", ""},  {"er", "e"},    {"est", "e"}};
  const std::string suffix = word.ends_with("ful") ? "ful" : "";  // METEOR appends it to what it finds
  if (word.ends_with("ss") || decode(word).size() <= 2) return word;
  for (const auto& [ending, replacement] : kEndings)
    if (word.ends_with(ending)) {
      const std::string base = word.substr(0, word.size() - std::string_view(ending).size()) + replacement;
      if (wordnet().synsets.find(base)) return base + suffix;
    }
  return "";
}

}  // namespace

void check_meteor_data() {
  for (const char* file : {kPrefixes, kSynsets, kExceptions, kFunctionWords, kParaphrases}) data_path(file);
}

std::vector<std::string> meteor_words(std::string_view text) {
  std::string line = " " + std::string(text) + " ";
  for (const auto& [pattern, replacement] : substitutions()) line = pattern.replace_all(line, replacement);
  const auto words = split(line);
  std::string settled;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool full_stop = words[i].size() > 1 && words[i].back() == '.';
    const std::string_view next = i + 1 < words.size() ? words[i + 1] : "";
    settled += (full_stop ? settle_full_stop(words[i], next) : std::string(words[i])) + " ";
  }
  settled = lower(settled);
  const auto views = split(settled);
  return {views.begin(), views.end()};
}

MeteorLexicon::MeteorLexicon()
    : stemmer_(sb_stemmer_new("english", nullptr), [](sb_stemmer* stemmer) { sb_stemmer_delete(stemmer); }) {
  CHECK(stemmer_, "libstemmer has no English stemmer");
}

void MeteorLexicon::describe(const std::string& word) {
  const auto* symbols = reinterpret_cast<const sb_symbol*>(word.data());
  const sb_symbol* stem = sb_stemmer_stem(stemmer_.get(), symbols, int(word.size()));
  CHECK(stem, "libstemmer: no memory for a word of ", word.size(), " bytes");
  const std::string stemmed(reinterpret_cast<const char*>(stem), size_t(sb_stemmer_length(stemmer_.get())));
  std::vector<int> synsets;
  add_synsets(wordnet().synsets.find(word), synsets);
  if (const auto bases = wordnet().bases.find(word); bases != wordnet().bases.end())
    for (const std::string_view base : bases->second) add_synsets(wordnet().synsets.find(base), synsets);
  else add_synsets(wordnet().synsets.find(base_form(word)), synsets);
  std::sort(synsets.begin(), synsets.end());
  words_.push_back({stems_.id(stemmed), wordnet().function_words.contains(word), std::move(synsets)});
}

Tokens MeteorLexicon::read(std::string_view text) {
  Tokens tokens;
  for (const std::string& word : meteor_words(text)) {
    tokens.push_back(vocabulary_.id(word));
    if (vocabulary_.size() > words_.size()) describe(word);
  }
  return tokens;
}

bool MeteorLexicon::are_synonyms(int a, int b) const {
  const auto &left = words_[size_t(a)].synsets, &right = words_[size_t(b)].synsets;
  for (auto i = left.begin(), j = right.begin(); i != left.end() && j != right.end();) {
    if (*i == *j) return true;
    if (*i < *j) ++i;
    else ++j;
  }
  return false;
}

void MeteorLexicon::add_paraphrase(const Tokens& phrase, Tokens paraphrase) {
  int state = 0;
  for (const int word : phrase) {
    const auto [next, is_new] = next_.try_emplace(uint64_t(state) << 32 | uint32_t(word), int(paraphrases_.size()));
    if (is_new) paraphrases_.emplace_back();
    state = next->second;
  }
  paraphrases_[size_t(state)].push_back(std::move(paraphrase));
}

void MeteorLexicon::load_paraphrases() {
  const std::string file = read_data_file(data_path(kParaphrases));
  // False if one of the words has not been read: then the phrase cannot match.
  const auto known = [&](std::string_view phrase, Tokens& tokens) {
    tokens.clear();
    for (const std::string_view word : split(phrase)) {
      const int id = vocabulary_.find(word);
      if (id < 0) return false;
      tokens.push_back(id);
    }
    return !tokens.empty();
  };
  Tokens phrase, paraphrase;
  for_each_line(file, [&](std::string_view line) {
    size_t end = std::min(line.find('\t'), line.size());
    if (!known(line.substr(0, end), phrase)) return;
    while (end < line.size()) {
      line.remove_prefix(end + 1);
      end = std::min(line.find('\t'), line.size());
      if (known(line.substr(0, end), paraphrase)) add_paraphrase(phrase, paraphrase);
    }
  });
}

void MeteorLexicon::phrases_at(const Tokens& text, size_t at, std::vector<Phrase>& found) const {
  found.clear();
  int state = 0;
  for (size_t i = at; i < text.size(); ++i) {
    const auto next = next_.find(uint64_t(state) << 32 | uint32_t(text[i]));
    if (next == next_.end()) return;
    state = next->second;
    for (const Tokens& paraphrase : paraphrases_[size_t(state)]) found.push_back({i + 1 - at, &paraphrase});
  }
}

}  // namespace cambium::metrics
