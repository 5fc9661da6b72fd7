// What METEOR knows about words and phrases: normalised text, stems, WordNet synonyms, function words, paraphrases.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "experiments/lib/metrics/ngrams.h"

struct sb_stemmer;

namespace cambium::metrics {

// METEOR 1.5's -norm for English, lower-cased: punctuation apart, hyphens open, contractions split ("n't" becomes
// "n 't"), the full stops of abbreviations kept or dropped by Moses' list of prefixes. `text`: valid UTF-8.
std::vector<std::string> meteor_words(std::string_view text);

// The words of one corpus, with everything the aligner asks about them.
class MeteorLexicon {
 public:
  MeteorLexicon();

  Tokens read(std::string_view text);  // meteor_words, numbered

  int stem(int word) const { return words_[size_t(word)].stem; }
  bool is_function_word(int word) const { return words_[size_t(word)].function; }
  // Whether they, or the forms they are inflected from, are in a common synset of WordNet 3.0.
  bool are_synonyms(int a, int b) const;

  // Loads the paraphrases made of words that have been read. Call it after the last `read`.
  void load_paraphrases();

  // The phrases of the table that start at `text[at]`, shortest first, and what each may be replaced by.
  struct Phrase {
    size_t length;
    const Tokens* paraphrase;
  };
  void phrases_at(const Tokens& text, size_t at, std::vector<Phrase>& found) const;

 private:
  struct Word {
    int stem;
    bool function;
    std::vector<int> synsets;  // ascending
  };
  void describe(const std::string& word);
  void add_paraphrase(const Tokens& phrase, Tokens paraphrase);

  Vocabulary vocabulary_, stems_;
  std::vector<Word> words_;
  std::shared_ptr<sb_stemmer> stemmer_;
  std::unordered_map<uint64_t, int> next_;           // (state << 32 | word) -> state; state 0 is the start
  std::vector<std::vector<Tokens>> paraphrases_{1};  // of each state, in the order of the file
};

}  // namespace cambium::metrics
