// Classes of characters through ICU.
#include "models/tokenizers/characters.h"

#include <unicode/uchar.h>

namespace cambium {
namespace {

// Of the categories of the mask, and no younger than a version of Unicode.
bool in_category(char32_t c, uint32_t mask, int version) {
  if (!(U_GET_GC_MASK(UChar32(c)) & mask)) return false;
  UVersionInfo age;
  u_charAge(UChar32(c), age);
  return age[0] < version || (age[0] == version && age[1] == 0);
}

}  // namespace

bool is_blank(char32_t c) { return u_hasBinaryProperty(UChar32(c), UCHAR_WHITE_SPACE); }

bool is_numeric(char32_t c) {
  const uint32_t mask = U_GET_GC_MASK(UChar32(c));
  return mask & (U_GC_ND_MASK | U_GC_NL_MASK | U_GC_NO_MASK);
}

bool is_word_character(char32_t c) {
  return u_hasBinaryProperty(UChar32(c), UCHAR_ALPHABETIC) || u_hasBinaryProperty(UChar32(c), UCHAR_JOIN_CONTROL) ||
         (U_GET_GC_MASK(UChar32(c)) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK));
}

bool is_punctuation(char32_t c) {
  if (c < 128) return (c > 32 && c < 48) || (c > 57 && c < 65) || (c > 90 && c < 97) || (c > 122 && c < 127);
  return in_category(c, U_GC_P_MASK, 8) || c == 0x166D || c == 0x111C9;  // punctuation in Unicode 8, not now
}

bool is_chinese(char32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
         (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool is_bert_control(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  return in_category(c, U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK, 8);
}

bool is_nonspacing_mark(char32_t c) {
  if (c == 0x1734) return true;  // changed since
  return in_category(c, U_GC_MN_MASK, 8) && c != 0x1885 && c != 0x1886 && c != 0xA9BD && c != 0x111C9;
}

bool is_combining_mark(char32_t c) {
  return (in_category(c, U_GC_M_MASK, 9) || c == 0x1CF2 || c == 0x1CF3) && c != 0x111C9;
}

}  // namespace cambium
