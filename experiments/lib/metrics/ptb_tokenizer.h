// Words as coco-caption's metrics see them: Penn Treebank tokens, lower-cased, without punctuation.
//
// coco-caption runs the Stanford tokenizer (CoreNLP 3.4.1, -preserveLines -lowerCase) and drops the tokens
// '' ' `` ` . ? ! , : - -- ... ; and the brackets' upper-case names. Since the brackets' names arrive in lower
// case they stay ("-lrb-"), and so do "!!" and other runs. Here are that tokenizer's rules as far as plain
// English text meets them: contractions, hyphens, abbreviations, numbers, fractions, dates, currencies,
// addresses of pages and mails, quotes, dashes, dots, brackets, symbols. Compared with the original line by
// line: identical on all 59 926 distinct lines of the E2E corpora and system outputs; elsewhere see the counts
// in tests/experiments/metric_e2e_test.cpp. Not followed: tags with attributes, emoticons, phone numbers,
// censored swear words.
#pragma once

#include <string>
#include <vector>

namespace cambium::metrics {

// One list of tokens a line. The lines are valid UTF-8 and are read as one text: as in the original, an
// abbreviation at the end of a line looks at how the next line starts.
std::vector<std::vector<std::string>> ptb_tokens(const std::vector<std::string>& lines);

// ptb_tokens without the punctuation that coco-caption drops.
std::vector<std::vector<std::string>> coco_words(const std::vector<std::string>& lines);

}  // namespace cambium::metrics
