// The longest of all rules' matches makes the next token; of equally long ones the first rule's. A rule's first
// group is the token, what follows the group must be there too and counts for the length, but stays.
#include "experiments/lib/metrics/ptb_tokenizer.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "core/regex.h"
#include "experiments/lib/metrics/text.h"

namespace cambium::metrics {
namespace {

enum class Form {
  same,
  dots,
  hyphens,  // two to four make a dash
  dash,     // -- for any dash
  quote,
  spaced,       // blanks inside a token become no-break spaces
  currency,     // # for pounds, $ for others, cents
  fraction,     // one character becomes three
  split_2,      // the last two characters are a token of their own
  split_3,      // the last three
  auxiliary,    // 's, n't: curly apostrophes become straight
  abbreviated,  // at the end of a sentence the full stop counts twice
  initials,     // the same, but a single letter loses it
  bracket,
};

struct Rule {
  Regex pattern;
  Form form;
};

// Pieces of patterns. (?-i:...) keeps the case in a pattern that ignores it.
const std::string kLetter = R"([\p{L}\p{M}\x{ad}])";
const std::string kWordRest = R"([\p{L}\p{M}\p{Nd}\x{ad}])";
const std::string kWord = kLetter + kWordRest + "*(?:[.!?]" + kLetter + kWordRest + "*)*";
const std::string kApostrophe = R"((?:['\x{92}\x{2019}]|&apos;))";
const std::string kAnyApostrophe = R"((?:['\x{92}\x{2019}`\x{91}\x{2018}\x{201b}]|&apos;))";
const std::string kAuxiliary = kApostrophe + "(?:[msd]|re|ve|ll)";
const std::string kNegation = "n" + kAnyApostrophe + "t";
const std::string kDigits = R"(\p{Nd}+(?:[.:,\x{ad}\x{66b}\x{66c}]\p{Nd}+)*)";
const std::string kNumber = "(?:" + kDigits + R"(|(?:[.:,\x{ad}\x{66b}\x{66c}]\p{Nd}+)+))";
const std::string kQuotes =
    R"([`\x{2018}\x{2019}\x{201b}-\x{201f}\x{82}\x{84}\x{91}-\x{94}\x{2039}\x{203a}\x{ab}\x{bb}]{1,2})";
const std::string kAlnum = R"([\p{L}\p{M}\p{Nd}])";
const std::string kHyphen = R"([-_\x{58a}\x{2010}\x{2011}])";
const std::string kElided = "(?:[dDoOlL]" + kAnyApostrophe + kAlnum + ")?";
const std::string kInitials = "(?:[A-Z](?:\\.[A-Z])*)";

// Abbreviations that keep their full stop; in the second list they stand before names, in the third before numbers.
const std::string kShort =
    "(?:Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tues?|Wed|Thu(?:rs)?|Fri|Ala|Ariz|(?-i:A)z|(?-i:A)rk|"
    "Calif|Colo|Conn|Ct|Dak|(?-i:D)el|Fla|Ga|(?-i:I)ll|Ind|Kans?|Ky|(?-i:L)a|(?-i:M)ass|Md|Mich|Minn|(?-i:M)iss|Mo|"
    "Mont|Neb|Nev|Okla|(?-i:O)re|(?-i:P)a|Penn|Tenn|(?-i:T)ex|Va|Vt|(?-i:W)ash|Wisc?|Wyo|Inc|Cos?|Corp|Pp?t[ye]s?|"
    "Ltd|Plc|Bancorp|Assn|Univ|Intl|Sys|tel|est|ext|sq|Jr|Sr|Bros|(?:Ed|Ph)\\.D|Esq|etc|al|seq|Bldg)\\.";
const std::string kTitle =
    "(?:Mr|Mrs|Ms|(?-i:M)iss|Drs?|Profs?|Sens?|Reps?|Attys?|Lt|Col|Gen|Messrs|Govs?|Adm|Rev|Maj|Sgt|Cpl|Pvt|Capt|"
    "Ste?|Ave|Pres|Lieut|Hon|Brig|Co?mdr|Pfc|Spc|Supts?|Det|Mt|Ft|Adj|Adv|Asst|Assoc|Ens|Insp|Mlle|Mme|Msgr|Sfc|"
    "Invt|Elec|Natl|M[ft]g|Dept|Blvd|Rd|vs|v|Alex|Wm|Jos|Cie|a\\.k\\.a|cf|TREAS|Ph)";
const std::string kSentenceStart =
    "(?:A|About|According|Additionally|After|An|As|At|But|Did|During|Earlier|He|Her|Here|How|However|If|In|It|Last|"
    "Many|More|Mr\\.|Ms\\.|Now|Once|One|Other|Our|She|Since|So|Some|Such|That|The|Their|Then|There|These|They|This|"
    "We|When|While|What|Who|Why|Yet|You)";
const std::string kBeforeNumber = "(?:ca|figs?|prop|nos?|art|bldg|pp|op)\\.";

std::vector<Rule> make_rules() {
  std::vector<Rule> rules;
  const auto add = [&](const std::string& pattern, Form form = Form::same) {
    rules.push_back({Regex(pattern, Regex::unicode | Regex::caseless | Regex::anchored), form});
  };
  add("(cannot|'twas)", Form::split_3);
  add("(" + kApostrophe + "tis|gonna|gotta|lemme|gimme|wanna)", Form::split_2);
  add("(</?[a-z][a-z0-9_:.-]*[ ]*/?>)");
  add(R"((&(?:MD|mdash|ndash);|[\x{96}\x{97}\x{2013}\x{2014}\x{2015}]))", Form::dash);
  add("(&amp;)");
  add("(" + kWord + ")" + kAuxiliary);
  add("((?-i:[A-Za-z\\x{ad}]*[A-MO-Za-mo-z]\\x{ad}*))" + kNegation);
  add("(" + kWord + ")");
  add("(" + kApostrophe + "n" + kApostrophe + "?|[ldj]" + kApostrophe + "|Dunkin" + kApostrophe + "|somethin" +
      kApostrophe + "|ol" + kApostrophe + "|" + kApostrophe + "em|(?-i:[A-HJ-XZn])" + kAnyApostrophe + "\\p{L}{2,}|" +
      kApostrophe + "[2-9]0s|" + kApostrophe + "till?|\\p{L}+[aeiouy]" + kAnyApostrophe + "(?-i:[aeiouA-Z])\\p{L}*|" +
      kApostrophe +
      "cause|cont'd\\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|"
      "nat'l|O" +
      kAnyApostrophe + "o)");
  add("(y" + kApostrophe + ")\\p{L}");
  add(R"(((?:ftp|https?)://[^\s"<>|(){}\[\]]+[^\s"'<>|.!?(){},;:&\[\]-]))");
  add(R"(((?:www\.(?:[^\s"<>|.!?(){},]+\.)+[a-z]{2,4}|(?:[^\s"`'<>|.!?(){},\-_$]+\.)+(?:com|net|org|edu)))"
      R"((?:/[^\s"<>|()]+[^\s"<>|.!?(){},-])?))");
  add(R"((<?[a-z0-9][^\s"<>|(){}\x{a0}]*@(?:[^\s"<>|(){}.\x{a0}]+\.)*[^\s"<>|(){}\[\].\x{a0}]+>?))");
  add("(@[a-z_][a-z_0-9]*)");
  add("(#\\p{L}+)");
  add("(" + kAuxiliary + ")[^a-z]", Form::auxiliary);
  add("(" + kNegation + ")[^a-z]", Form::auxiliary);
  add(R"((\p{Nd}{1,2}[-/]\p{Nd}{1,2}[-/]\p{Nd}{2,4}))");
  add("([-+]?" + kNumber + ")");
  add(R"(((?:\p{Nd}{1,4}[- \x{a0}])?\p{Nd}{1,4}(?:\\?/|\x{2044})\p{Nd}{1,4}))", Form::spaced);
  add(R"(((?:\(\p{Nd}{2,3}\)[ \x{a0}]?|(?:\+\+?)?(?:\p{Nd}{2,4}[- \x{a0}])?\p{Nd}{2,4}[- \x{a0}])\p{Nd}{3,4}[- \x{a0}]?\p{Nd}{3,5}))",
      Form::spaced);  // telephones
  add(R"(([\x{bc}\x{bd}\x{be}\x{2153}-\x{215e}]))", Form::fraction);
  add("(-(?:RRB|LRB|RCB|LCB|RSB|LSB)-|C\\.D\\.s|pro-|anti-|S&P-500|S&Ls|Cap" + kApostrophe + "n|c" + kApostrophe +
      "est)");
  add("(" + kAlnum + "+(?:-\\p{L}+){0,2}(?:\\\\?/" + kAlnum + "+(?:-\\p{L}+){0,2}){1,2})");
  add(R"(((?-i:[A-Z]*)\$|#))");
  add(R"(([\x{a2}-\x{a5}\x{80}\x{20a0}\x{20ac}]))", Form::currency);
  add("(" + kShort + ")\\s(?:\\s|(?-i:\\p{Lu}))", Form::abbreviated);
  add("(" + kShort + ")");
  add("(" + kInitials + "\\.)\\s+(?-i:" + kSentenceStart + ")[\\s?!]", Form::initials);
  add("((?:" + kTitle + "|" + kInitials + ")\\.)");
  add("(" + kBeforeNumber + ")\\s?\\p{Nd}");
  const std::string thing = kElided + "(?:" + kAlnum + "+|[-+]?[.,]?" + kDigits + ")(?:" + kHyphen + kElided +
                            "(?:" + kAlnum + "+|[.,]?" + kDigits + "))*";
  const std::string hyphenated = kAlnum +
                                 "[\\p{L}\\p{M}\\p{Nd}.,\\x{ad}]*(?:-(?:[\\p{L}\\p{M}\\p{Nd}\\x{ad}]+|"
                                 "[A-Z](?:\\.[A-Z])+\\.))+";
  for (const std::string& pattern : {kWord, hyphenated, thing}) {
    if (pattern != kWord) add("(" + pattern + ")");
    add("(" + pattern + "\\.)[,;:\\x{3001}]");  // a full stop inside a sentence
  }
  add("((?-i:[A-Z]+)(?:(?:[+&]|&amp;)(?-i:[A-Z]+))+)");
  add("(<<|>>|&lt;|&gt;|<|>)");
  add("([(){}\\[\\]])", Form::bracket);
  add("(-+)", Form::hyphens);
  add(R"((\.\.\.+|[\x{85}\x{2026}]|\.[ \x{a0}](?:\.[ \x{a0}])+\.))", Form::dots);
  add("(@+|_+|[*]+|#+)");
  add("([,;:\\x{3001}])");
  add("([?!]+)");
  add("([.])");
  add("(=+)");
  add("(/)");
  add("(\"|&quot;|[`'\\x{91}\\x{92}\\x{2018}\\x{2019}]')", Form::quote);
  add(R"((\((?:[-^x=~<>'][_.]?[-^x=~<>']|[\^x=~<>']-[\^x=~<>'`])\)|[-^x=~<>']_[-^x=~<>']))", Form::bracket);
  add(R"((?-i:([<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]])[^\p{L}\p{Nd}]))", Form::bracket);  // :-)
  for (const char* context : {"\\p{L}[^\\s\\x{a0}]", "[aiu][\\s\\x{a0}]", ""})
    add("(" + kApostrophe + "|" + kQuotes + ")" + context, Form::quote);
  add("(" + kApostrophe + "[0-9][0-9])\\s");
  add("(" + kAuxiliary + ")", Form::auxiliary);
  add(R"(([+%&~^|\\\x{a1}\x{a6}-\x{a9}\x{ac}\x{ae}-\x{ba}\x{bf}\x{d7}\x{f7}\x{2dc}\x{2016}\x{2017}\x{201a}\x{2020}-\x{2024}\x{2030}-\x{2038}\x{203b}\x{203e}-\x{2042}\x{2044}\x{207a}-\x{207f}\x{208a}-\x{208e}\x{2100}-\x{214f}\x{2190}-\x{2bff}\x{20a4}\x{3002}]))");
  return rules;
}

// Lower case, and the few replacements that outlive the dropping of punctuation.
std::string write(std::string_view token, Form form) {
  static const std::map<std::string_view, std::string_view> names = {
      {"(", "-lrb-"},    {")", "-rrb-"}, {"[", "-lsb-"}, {"]", "-rsb-"}, {"{", "-lcb-"}, {"}", "-rcb-"}, {"&lt;", "<"},
      {"&gt;", ">"},     {"&amp;", "&"}, {"¢", "cents"}, {"£", "#"},     {"€", "$"},     {"¤", "$"},     {"₠", "$"},
      {"\xc2\x80", "$"}, {"½", "1/2"},   {"¼", "1/4"},   {"¾", "3/4"},   {"⅓", "1/3"},   {"⅔", "2/3"}};
  if (const auto found = names.find(token); found != names.end()) return std::string(found->second);
  if (form == Form::bracket) {  // an emoticon
    std::string face;
    for (const char c : lower(token)) face += c == '(' ? "-lrb-" : c == ')' ? "-rrb-" : std::string(1, c);
    return face;
  }
  switch (form) {
    case Form::quote: return "''";
    case Form::dots: return "...";
    case Form::dash: return "--";
    case Form::hyphens: return token.size() > 4 || token.size() < 2 ? std::string(token) : "--";
    default: break;
  }
  std::string word = lower(token);
  static const Regex curly("[\\x{92}\\x{2019}]|&apos;", Regex::unicode);
  static const Regex curly_left("[\\x{91}\\x{2018}\\x{201b}]", Regex::unicode);
  if (form == Form::auxiliary) return curly_left.replace_all(curly.replace_all(word, "'"), "`");
  if (form == Form::spaced)  // stays one token
    for (size_t at; (at = word.find(' ')) != std::string::npos;) word.replace(at, 1, "\xc2\xa0");
  for (size_t at; (at = word.find("\xc2\xad")) != std::string::npos;) word.erase(at, 2);  // soft hyphens
  return word;
}

// Most words are plain letters between blanks, which no rule but the first three reads differently.
size_t plain_word_end(std::string_view text, size_t at) {
  static const std::set<std::string> split = {"cannot", "gonna", "gotta", "lemme", "gimme", "wanna"};
  size_t end = at;
  while (end < text.size() && ((text[end] | 0x20) >= 'a' && (text[end] | 0x20) <= 'z')) ++end;
  if (end == at || (text[end] != ' ' && text[end] != '\n')) return 0;
  return split.contains(lower(text.substr(at, end - at))) ? 0 : end;
}

}  // namespace

std::vector<std::vector<std::string>> ptb_tokens(const std::vector<std::string>& lines) {
  static const std::vector<Rule> rules = make_rules();
  std::string text;
  for (const std::string& line : lines) {
    text += line;
    std::replace(text.end() - ptrdiff_t(line.size()), text.end(), '\n', ' ');
    text += '\n';
  }
  std::vector<std::vector<std::string>> tokens;
  tokens.reserve(lines.size() + 1);
  tokens.emplace_back();
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '\n' || text[at] == ' ') {
      if (text[at++] == '\n') tokens.emplace_back();
      continue;
    }
    if (const size_t end = plain_word_end(text, at)) {
      tokens.back().push_back(lower(text.substr(at, end - at)));
      at = end;
      continue;
    }
    Regex::Ends best;
    Form form = Form::same;
    for (const Rule& rule : rules)
      if (const auto ends = rule.pattern.match_at(text, at); ends.end > best.end) {
        best = ends;
        form = rule.form;
      }
    if (best.end == 0) {  // white space, or a character that the tokenizer drops
      at += size_t(code_point(text, at).length);
      continue;
    }
    const size_t length = best.group - at;
    const size_t kept = length - (form == Form::split_2 ? 2 : form == Form::split_3 ? 3 : 0);
    const bool lone_letter = form == Form::initials && length == 2;
    tokens.back().push_back(write(std::string_view(text).substr(at, lone_letter ? 1 : kept), form));
    at += form == Form::abbreviated || form == Form::initials ? length - 1 : kept;
  }
  tokens.pop_back();
  return tokens;
}

std::vector<std::vector<std::string>> coco_words(const std::vector<std::string>& lines) {
  static const std::set<std::string_view> dropped = {"''", "'", "`", "``", ".",   "?", "!",
                                                     ",",  ":", "-", "--", "...", ";"};
  std::vector<std::vector<std::string>> words = ptb_tokens(lines);
  for (auto& line : words) std::erase_if(line, [](const std::string& word) { return dropped.contains(word); });
  return words;
}

}  // namespace cambium::metrics
