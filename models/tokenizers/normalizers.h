// What changes a text before it is cut into words.
#pragma once

#include <functional>
#include <string>

#include "models/tokenizers/aligned_text.h"

namespace cambium {

using Normalizer = std::function<AlignedText(AlignedText)>;

enum class UnicodeForm { nfc, nfd, nfkc, nfkd };
Normalizer unicode_normalizer(UnicodeForm form);
Normalizer lowercase();
// Removes combining marks.
Normalizer strip_accents();
// Removes blanks at the ends.
Normalizer strip(bool left, bool right);
// Puts `prefix` before a text that is not empty.
Normalizer prepend(const std::string& prefix);
// Replaces a string, or what a regular expression matches.
Normalizer replace_string(const std::string& from, const std::string& to);
Normalizer replace_pattern(const std::string& pattern, const std::string& to);

// BERT's: control characters go, blanks become spaces (clean), Chinese characters get a space on both sides, accents
// and capitals go. Devlin et al. 2018, tokenization.py of its release.
struct BertNormalization {
  bool clean = true, chinese = true, accents = true, lower = true;  // accents: strip them
};
Normalizer bert_normalizer(const BertNormalization&);

}  // namespace cambium
