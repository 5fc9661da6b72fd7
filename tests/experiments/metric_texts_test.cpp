// BLEU, chrF, TER and ROUGE against sacrebleu and rouge_score, on restaurant texts and on hostile ones.
#include <gtest/gtest.h>

#include "experiments/lib/metrics/bleu.h"
#include "experiments/lib/metrics/lcs.h"
#include "experiments/lib/metrics/porter_stemmer.h"
#include "experiments/lib/metrics/ter.h"
#include "experiments/lib/metrics/text.h"
#include "tests/experiments/metric_goldens.h"

namespace cambium::metrics {
namespace {

using testing::goldens;
using testing::named;

TEST(MetricTexts, CorpusScoresAreTheOriginals) {
  for (const auto& golden : goldens()["texts"]) {
    const testing::Texts texts(golden);
    SCOPED_TRACE(golden["name"].get<std::string>());
    for (const char* metric : {"bleu", "chrf", "ter", "rouge"})
      for (const auto& [name, value] : score(metric, texts.references, texts.outputs))
        EXPECT_NEAR(value, golden["scores"][name].get<double>(), 1e-9) << name;
  }
}

TEST(MetricTexts, SentenceScoresAreTheOriginals) {
  for (const auto& golden : goldens()["texts"]) {
    const testing::Texts texts(golden);
    SCOPED_TRACE(golden["name"].get<std::string>());
    for (const char* metric : {"bleu", "chrf", "ter", "rouge"}) {
      const StatisticsTable table = metric_table(metric, texts.references, texts.outputs);
      ASSERT_EQ(table.sentences(), texts.outputs.size());
      for (size_t i = 0; i < texts.outputs.size(); ++i)
        for (const auto& [name, value] : table.scores(table.row(i)))
          EXPECT_NEAR(value, golden["sentences"][name][i].get<double>(), 1e-9)
              << name << " of text " << i << ": " << texts.outputs[i].substr(0, 80);
    }
  }
}

TEST(MetricTexts, PorterStemsAreNltks) {
  size_t count = 0;
  for (const auto& [word, stem] : goldens()["porter"].items()) {
    EXPECT_EQ(porter_stem(word), stem.get<std::string>()) << word;
    ++count;
  }
  EXPECT_GT(count, 1000u);
}

TEST(MetricTexts, BadBytesBecomeReplacementCharacters) {
  EXPECT_EQ(clean_utf8("a\xff"), "a\xef\xbf\xbd");
  EXPECT_EQ(decode(clean_utf8("\xe2\x82 \xf0\x9f\x98")), U"\xfffd \xfffd");  // one for each cut-off sequence
  EXPECT_EQ(clean_utf8("caf\xc3\xa9"), "caf\xc3\xa9");
}

TEST(MetricTexts, SplitsAndStripsUnicodeSpaces) {
  const std::string text =
      "\xc2\xa0 a\xe2\x80\x83"
      "b\t\xe3\x80\x80";
  const std::vector<std::string_view> words = split(std::string_view(text));
  EXPECT_EQ(words, (std::vector<std::string_view>{"a", "b"}));
  EXPECT_EQ(strip_right(text),
            "\xc2\xa0 a\xe2\x80\x83"
            "b");
  EXPECT_EQ(strip_right(" \t"), "");
}

TEST(MetricTexts, LowerCaseIsUnicodes) {
  EXPECT_EQ(lower("ΟΔΥΣΣΕΥΣ ÜBER A"), "οδυσσευς über a");
  EXPECT_EQ(lower("İ"), "i̇");
}

TEST(MetricTexts, CommonSubsequencesOfBothKindsHaveOneLength) {
  const Tokens a = {1, 2, 3, 4, 1, 2}, b = {2, 4, 3, 1, 2, 5};
  EXPECT_EQ(lcs_length(a, b), 4u);
  EXPECT_EQ(lcs_positions(a, b).size(), 4u);
  EXPECT_EQ(lcs_length(a, {}), 0u);
  EXPECT_TRUE(lcs_positions({}, b).empty());
}

TEST(MetricTexts, TooLongTextsAreRefusedInsteadOfHanging) {
  const Tokens huge(200'000, 1);
  EXPECT_THROW(lcs_length(huge, huge), InputError);
  EXPECT_THROW(lcs_positions(huge, huge), InputError);
  EXPECT_THROW(ter_edits(huge, {1, 2}), InputError);
}

TEST(MetricTexts, ALineOfAMegabyteIsScored) {
  std::string line;
  for (int i = 0; line.size() < 1'000'000; ++i) line += "word" + std::to_string(i % 5000) + " ";
  EXPECT_NEAR(score("bleu", {{line}}, {line})[0].second, 100, 1e-9);
}

}  // namespace
}  // namespace cambium::metrics
