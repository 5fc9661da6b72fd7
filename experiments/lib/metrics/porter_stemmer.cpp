// Porter's steps as tables of (suffix, replacement): the first suffix that the word has decides.
#include "experiments/lib/metrics/porter_stemmer.h"

#include <functional>
#include <initializer_list>
#include <map>
#include <string_view>
#include <vector>

namespace cambium::metrics {
namespace {

// For each letter whether it is a consonant: y is one at the start and after a vowel.
std::vector<bool> consonants(std::string_view word) {
  std::vector<bool> flags;
  for (size_t i = 0; i < word.size(); ++i) {
    const bool vowel = std::string_view("aeiou").find(word[i]) != std::string_view::npos;
    flags.push_back(word[i] == 'y' ? i == 0 || !flags[i - 1] : !vowel);
  }
  return flags;
}

// The m of [C](VC)^m[V].
int measure(std::string_view stem) {
  const auto consonant = consonants(stem);
  int m = 0;
  for (size_t i = 1; i < stem.size(); ++i) m += consonant[i] && !consonant[i - 1];
  return m;
}

bool has_vowel(std::string_view stem) {
  for (const bool consonant : consonants(stem))
    if (!consonant) return true;
  return false;
}

// Porter's *o (consonant, vowel, consonant other than w, x, y), or NLTK's two letters vc.
bool ends_short(std::string_view word) {
  const auto consonant = consonants(word);
  const size_t n = word.size();
  if (n == 2) return !consonant[0] && consonant[1];
  return n >= 3 && consonant[n - 3] && !consonant[n - 2] && consonant[n - 1] && word[n - 1] != 'w' &&
         word[n - 1] != 'x' && word[n - 1] != 'y';
}

struct SuffixRule {
  std::string_view suffix, replacement;
};

// Applies the first rule whose suffix the word has, if `allowed(stem, suffix)`.
void apply(std::string& word, std::initializer_list<SuffixRule> rules,
           const std::function<bool(std::string_view, std::string_view)>& allowed) {
  for (const auto& [suffix, replacement] : rules) {
    if (!word.ends_with(suffix)) continue;
    const size_t stem = word.size() - suffix.size();
    if (allowed(std::string_view(word).substr(0, stem), suffix)) word.replace(stem, suffix.size(), replacement);
    return;
  }
}

void step_1a(std::string& word) {
  if (word.size() == 4 && word.ends_with("ies")) return word.pop_back();
  apply(word, {{"sses", "ss"}, {"ies", "i"}, {"ss", "ss"}, {"s", ""}}, [](auto, auto) { return true; });
}

void step_1b(std::string& word) {
  if (word.ends_with("ied")) return word.resize(word.size() - (word.size() == 4 ? 1 : 2));
  if (word.ends_with("eed")) {
    if (measure(std::string_view(word).substr(0, word.size() - 3)) > 0) word.pop_back();
    return;
  }
  const size_t cut = word.ends_with("ed") ? 2 : word.ends_with("ing") ? 3 : 0;
  if (cut == 0 || !has_vowel(std::string_view(word).substr(0, word.size() - cut))) return;
  word.resize(word.size() - cut);
  const auto consonant = consonants(word);
  const size_t n = word.size();
  if (word.ends_with("at") || word.ends_with("bl") || word.ends_with("iz")) {
    word += 'e';
  } else if (n >= 2 && word[n - 1] == word[n - 2] && consonant[n - 1]) {
    if (word[n - 1] != 'l' && word[n - 1] != 's' && word[n - 1] != 'z') word.pop_back();
  } else if (measure(word) == 1 && ends_short(word)) {
    word += 'e';
  }
}

void step_1c(std::string& word) {
  const size_t n = word.size();
  if (n > 2 && word[n - 1] == 'y' && consonants(word)[n - 2]) word[n - 1] = 'i';
}

bool positive(std::string_view stem, std::string_view) { return measure(stem) > 0; }

void step_2(std::string& word) {
  if (word.ends_with("alli") && measure(std::string_view(word).substr(0, word.size() - 4)) > 0) {
    word.resize(word.size() - 2);
    return step_2(word);
  }
  apply(word, {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"}, {"anci", "ance"}, {"izer", "ize"},
               {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"}, {"eli", "e"},     {"ousli", "ous"},
               {"ization", "ize"}, {"ation", "ate"},   {"ator", "ate"},  {"alism", "al"},  {"iveness", "ive"},
               {"fulness", "ful"}, {"ousness", "ous"}, {"aliti", "al"},  {"iviti", "ive"}, {"biliti", "ble"},
               {"fulli", "ful"},   {"logi", "log"}},
        [&](std::string_view stem, std::string_view suffix) {  // the l of logi counts to its stem
          return measure(suffix == "logi" ? std::string_view(word).substr(0, stem.size() + 1) : stem) > 0;
        });
}

void step_3(std::string& word) {
  apply(word,
        {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"}, {"ical", "ic"}, {"ful", ""}, {"ness", ""}},
        positive);
}

void step_4(std::string& word) {
  apply(word,
        {{"al", ""},
         {"ance", ""},
         {"ence", ""},
         {"er", ""},
         {"ic", ""},
         {"able", ""},
         {"ible", ""},
         {"ant", ""},
         {"ement", ""},
         {"ment", ""},
         {"ent", ""},
         {"ion", ""},
         {"ou", ""},
         {"ism", ""},
         {"ate", ""},
         {"iti", ""},
         {"ous", ""},
         {"ive", ""},
         {"ize", ""}},
        [](std::string_view stem, std::string_view suffix) {
          return measure(stem) > 1 && (suffix != "ion" || stem.back() == 's' || stem.back() == 't');
        });
}

void step_5(std::string& word) {
  if (word.ends_with("e")) {
    const std::string_view stem = std::string_view(word).substr(0, word.size() - 1);
    const int m = measure(stem);
    if (m > 1 || (m == 1 && !ends_short(stem))) word.pop_back();
  }
  if (word.ends_with("ll") && measure(std::string_view(word).substr(0, word.size() - 1)) > 1) word.pop_back();
}

}  // namespace

std::string porter_stem(const std::string& word) {
  static const std::map<std::string_view, std::string_view> irregular = {
      {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
      {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
      {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
      {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"}};
  if (const auto found = irregular.find(word); found != irregular.end()) return std::string(found->second);
  if (word.size() <= 2) return word;
  std::string stem = word;
  for (const auto step : {step_1a, step_1b, step_1c, step_2, step_3, step_4, step_5}) step(stem);
  return stem;
}

}  // namespace cambium::metrics
