// Regular expressions: matches, long words, patterns that would take for ever.
#include "core/regex.h"

#include <vector>

#include "core/error.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

using Parts = std::vector<std::string>;

Parts matches(const std::string& pattern, const std::string& text) {
  Parts parts;
  Regex(pattern, Regex::unicode | Regex::properties).for_each_match(text, [&](size_t begin, size_t end) {
    parts.push_back(text.substr(begin, end - begin));
  });
  return parts;
}

TEST(Regex, GivesItsMatchesInOrder) {
  EXPECT_EQ(matches("a+|\u00e9", "aab\u00e9x"), (Parts{"aa", "\u00e9"}));
  EXPECT_EQ(matches("(?<=a)b|x*", "abxx"), (Parts{"b", "xx"}));
  EXPECT_EQ(matches("q", std::string(100'000, 'a')), Parts{});
  EXPECT_EQ(Regex("(a|b)+").replace_all("xabax", "[$0]"), "x[aba]x");
}

// A repeated group keeps a frame for each turn: more than the 32 KiB that PCRE2's compiled patterns have by default.
TEST(Regex, TakesLongWords) {
  for (const char* pattern : {"(?:[a-z]|'[a-z])+| ", "(?:\\p{L}\\p{M}*)+|\\P{L}", "(?:a|b)+"})
    for (const size_t size : {2'000u, 30'000u, 300'000u}) {
      const std::string word(size, 'a');
      EXPECT_EQ(matches(pattern, word), Parts{word}) << pattern << " " << size;
    }
  const std::string word(2'000, 'a');
  EXPECT_EQ(Regex("(?:a|b)+").replace_all(word, "x"), "x");
  EXPECT_EQ(Regex("(?:a|b)+", Regex::anchored).match_at(word, 0).end, word.size());
}

// Places that cost much, and places that cost nothing, in the order of the text.
TEST(Regex, FindsWhatLiesBehindAnExpensivePlace) {
  const std::string expensive(14, 'a');  // 2^14 ways to fail
  Parts expected;
  for (int i = 0; i < 3; ++i) expected.push_back("b");
  EXPECT_EQ(matches("(a|a)+x|b", expensive + "b\u00e9b" + expensive + "b"), expected);
  EXPECT_EQ(matches("(a|a)+x", expensive), Parts{});
}

// Each match is within PCRE2's limit; the text's matches together are not.
TEST(Regex, BoundsTheWorkOnATextNotOnlyOnAMatch) {
  for (const char* pattern : {"(?:a?){19}a{19}b|a", "(?:a|a){20}b|a", "(?:a|aa)+$|a", "(a+)+$|a"})
    expect_error<Error>([&] { matches(pattern, std::string(2'000, 'a') + "c"); }, {"takes too long", "2001 bytes"});
}

TEST(Regex, KnowsNoHalfCharacters) {
  expect_error<Error>([] { matches("\\C", "\u00e9"); }, {"\\C"});
  for (const char* broken : {"a\xc3", "\xe2\x82 ", "\xff"}) {
    expect_error<Error>([&] { matches("[^x]", broken); }, {"UTF-8"});
    expect_error<Error>([&] { Regex("[^x]", Regex::unicode).replace_all(broken, "y"); }, {"UTF-8"});
  }
  EXPECT_EQ(Regex("x").replace_all("\xffx", "y"), "\xffy");  // bytes
}

TEST(Regex, RefusesMatchesThatOverlap) {
  for (const char* pattern : {"(?(DEFINE)(b\\K))(?=.(?1))", "(?=.(?1))a(?:x(b\\K)|)", "(?=.(?1))(?:|x(b\\K))"})
    expect_error<Error>([&] { matches(pattern, "abab"); }, {"overlap"});
}

}  // namespace
}  // namespace cambium::testing
