// Patterns of tokenizer.json for PCRE2.
#include "models/tokenizers/unicode_regex.h"

#include "core/error.h"

namespace cambium {
namespace {

// The pattern in PCRE2's terms. Its \s counts U+180E as a blank, which Unicode does not since version 6.3.
std::string translated(const std::string& pattern) {
  const std::string blanks =
      R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      if (next == 's') out += in_class ? blanks : "[" + blanks + "]";
      else if (next == 'S' && !in_class) out += "[^" + blanks + "]";
      else out += {'\\', next};
      continue;
    }
    if (pattern[i] == '[' && !in_class) {
      in_class = true;
      out += '[';
      for (const char literal : {'^', ']'})
        if (i + 1 < pattern.size() && pattern[i + 1] == literal) out += pattern[++i];
      continue;
    }
    if (pattern[i] == ']') in_class = false;
    out += pattern[i];
  }
  return out;
}

}  // namespace

Regex unicode_regex(const std::string& pattern) {
  try {
    return Regex(translated(pattern), Regex::unicode | Regex::properties);
  } catch (const Error& e) {
    throw InputError(e.what());
  }
}

}  // namespace cambium
