#include "experiments/lib/tasks/filters.h"

#include <algorithm>
#include <cctype>

#include "core/error.h"
#include "core/lines.h"
#include "core/regex.h"

namespace cambium {
namespace {

// One line with single blanks.
std::string squeezed(const std::string& s) {
  std::string line;
  for (const char c : s) {
    const bool blank = c == ' ' || c == '\n' || c == '\r' || c == '\t';
    if (!blank) line += c;
    else if (!line.empty() && line.back() != ' ') line += ' ';
  }
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

std::string first_lower(const std::string& s) {
  std::string text = s;
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = char(text[0] - 'A' + 'a');
  return text;
}

// LM-BFF's "-": the mark that ends a sentence goes, because the template has its own. (Gao et al. 2021)
std::string no_final_punctuation(const std::string& s) {
  std::string text = trimmed(s);
  if (!text.empty() && std::string_view(".,!?").find(text.back()) != std::string_view::npos) text.pop_back();
  return text;
}

// MultiRC's paragraphs are web pages. (Raffel et al. 2020: module preprocessors, glue)
std::string without_markup(const std::string& s) {
  static const Regex breaks("<br>"), bold("</?b>");
  return bold.replace_all(breaks.replace_all(s, " "), "");
}

// ReCoRD's passages end in highlights. (module preprocessors, record)
std::string without_highlights(const std::string& s) {
  constexpr std::string_view kMark = "\n@highlight\n";
  std::string text;
  size_t at = 0;
  for (size_t found; (found = s.find(kMark, at)) != s.npos; at = found + kMark.size()) {
    text += s.substr(at, found - at);
    const bool ended = !text.empty() && std::string_view(".?!\"'").find(text.back()) != std::string_view::npos;
    text += ended ? " " : ". ";
  }
  return text + s.substr(at);
}

// Blanks around every mark of ASCII, single ones. (module preprocessors, _pad_punctuation)
std::string pad_punctuation(const std::string& s) {
  std::string text;
  for (const char c : s) text += uint8_t(c) < 0x80 && std::ispunct(c) ? std::string(" ") + c + " " : std::string(1, c);
  return squeezed(text);
}

struct NamedFilter {
  const char* name;
  TextFilter apply;
};

constexpr NamedFilter kFilters[] = {{"trim", [](const std::string& s) { return trimmed(s); }},
                                    {"squeeze", squeezed},
                                    {"lower", lower_case},
                                    {"first_lower", first_lower},
                                    {"no_final_punctuation", no_final_punctuation},
                                    {"pad_punctuation", pad_punctuation},
                                    {"without_markup", without_markup},
                                    {"without_highlights", without_highlights},
                                    {"linearised", linearised}};

}  // namespace

std::string lower_case(const std::string& s) {
  std::string text = s;
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return text;
}

TextFilter text_filter(const std::string& name) {
  for (const NamedFilter& f : kFilters)
    if (f.name == name) return f.apply;
  return nullptr;
}

std::vector<std::string> text_filter_names() {
  std::vector<std::string> names;
  for (const NamedFilter& f : kFilters) names.emplace_back(f.name);
  return names;
}

std::string linearised(const std::string& meaning) {
  std::string line;
  for (size_t at = 0; at < meaning.size();) {
    const size_t open = meaning.find('[', at), close = open == meaning.npos ? open : meaning.find(']', open);
    check_input(close != meaning.npos, "the meaning \"", meaning, "\" is no list of slot[value]");
    const size_t slot = meaning.find_first_not_of(", ", at);
    check_input(slot < open, "the meaning \"", meaning, "\" has a value without a slot");
    line += text(line.empty() ? "" : " | ", meaning.substr(slot, open - slot), " : ",
                 meaning.substr(open + 1, close - open - 1));
    at = close + 1;
  }
  check_input(!line.empty(), "an empty meaning representation");
  return line + " ||";
}

}  // namespace cambium
