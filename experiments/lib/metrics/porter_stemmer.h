// The Porter stemmer in the form of NLTK's default mode, which the rouge_score package uses.
#pragma once

#include <string>

namespace cambium::metrics {

// Porter (1980), "An algorithm for suffix stripping", with Martin Porter's later changes and NLTK's: a dozen
// irregular forms; "ies" and "ied" of four-letter words end in "ie"; y becomes i after a consonant that is not
// the first letter; a stem of vowel and consonant is short. `word`: lower-case letters and digits.
std::string porter_stem(const std::string& word);

}  // namespace cambium::metrics
