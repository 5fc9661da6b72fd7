// Classes of characters as the tokenizers library has them: its tables of punctuation, control characters and marks are
// of Unicode 8 and 9, so that later signs are none.
#pragma once

namespace cambium {

bool is_blank(char32_t c);            // White_Space of the Unicode standard
bool is_numeric(char32_t c);          // decimal, letter-like and other numbers
bool is_word_character(char32_t c);   // \w of Unicode's regular expressions (UTS 18)
bool is_punctuation(char32_t c);      // category P, and the ASCII signs that BERT counts
bool is_chinese(char32_t c);          // the CJK blocks that BERT sets apart
bool is_bert_control(char32_t c);     // removed by BERT's cleaning
bool is_nonspacing_mark(char32_t c);  // removed with accents by BERT
bool is_combining_mark(char32_t c);   // by the normalizer StripAccents

}  // namespace cambium
