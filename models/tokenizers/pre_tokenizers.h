// What cuts a text into the words that a tokenizer's model then splits further.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "models/tokenizers/aligned_text.h"

namespace cambium {

// A text and its words, in order; bytes of no word are dropped. At first the whole text is one word.
struct Pieces {
  AlignedText text;
  std::vector<ByteRange> words;  // in `text`
};

using PreTokenizer = std::function<void(Pieces&)>;

// What becomes of the parts that a pattern matches.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

// By a regular expression; `inverted`: what does not match counts as match. The pattern is InputError if it is none.
PreTokenizer split_by_pattern(const std::string& pattern, SplitBehavior behavior, bool inverted);
// By the characters for which `f` is true.
PreTokenizer split_by_characters(bool (*f)(char32_t), SplitBehavior behavior);
// Into runs of word characters (\w) and runs of signs, without blanks.
PreTokenizer split_into_words();
// BERT's: cut at blanks, and each punctuation sign by itself.
std::vector<PreTokenizer> bert_words();
// A blank before each word that has none.
PreTokenizer prefix_space();
// GPT-2's words: contractions, letters, digits and other signs, each with the blank before it.
inline constexpr const char* kByteLevelWords =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
PreTokenizer byte_level_words();
// Blanks become `replacement`, one is put in front of all words (or of the text's first), and words are cut before it.
enum class Prepend { always, first, never };
PreTokenizer metaspace(const std::string& replacement, Prepend prepend, bool split);

}  // namespace cambium
