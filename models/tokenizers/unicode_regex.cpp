// Patterns of tokenizer.json for PCRE2.
#include "models/tokenizers/unicode_regex.h"

#include <algorithm>

#include "core/error.h"

namespace cambium {
namespace {

constexpr std::string_view kHexDigits = "0-9a-fA-F";

// Oniguruma's escapes that PCRE2 knows in another sense, inside a class and outside.
std::string escape(char c, bool in_class) {
  // Its \s counts U+180E as a blank, which Unicode does not since version 6.3.
  static const std::string blanks =
      R"(\x{9}-\x{d}\x{20}\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})";
  if (c == 's') return in_class ? blanks : "[" + blanks + "]";
  if (c == 'S' && !in_class) return "[^" + blanks + "]";
  if (c == 'h') return in_class ? std::string(kHexDigits) : text("[", kHexDigits, "]");
  if (c == 'H' && !in_class) return text("[^", kHexDigits, "]");
  if (c == 'v') return R"(\x{b})";
  return {'\\', c};
}

// The pattern in PCRE2's terms: ^ and $ stand at every line, and (?m) lets the dot match line ends.
std::string translated(const std::string& pattern) {
  std::string out = "(?m)";
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) {
      const char next = pattern[++i];
      // Oniguruma knows none of these, or means something else; \K lets matches overlap.
      check_input(std::string_view("CEGKQV").find(next) == std::string_view::npos, "the regular expression '",
                  pattern.substr(0, 200), "' has \\", next, ", which is not supported");
      out += escape(next, in_class);
      continue;
    }
    if (pattern[i] == '[' && !in_class) {
      in_class = true;
      out += '[';
      for (const char literal : {'^', ']'})
        if (i + 1 < pattern.size() && pattern[i + 1] == literal) out += pattern[++i];
      continue;
    }
    if (!in_class && pattern.compare(i, 2, "(?") == 0) {
      const size_t end = std::min(pattern.find_first_not_of("imx-", i + 2), pattern.size());
      for (; i < end; ++i) out += pattern[i] == 'm' ? 's' : pattern[i];
      --i;
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
