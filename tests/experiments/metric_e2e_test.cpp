// The E2E challenge's scores against published ones, and their parts against the original programs.
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "core/files.h"
#include "experiments/lib/data_path.h"
#include "experiments/lib/metrics/meteor.h"
#include "experiments/lib/metrics/ptb_tokenizer.h"
#include "tests/experiments/metric_goldens.h"
#include "tests/support/files.h"

namespace cambium::metrics {
namespace {

using testing::expect_error;
using testing::goldens;
using testing::named;

// Outputs for the whole development set, with the scores that the challenge's script printed (4 digits).
TEST(MetricE2e, PublishedScoresOfPublishedOutputs) {
  const auto& e2e = goldens()["e2e"];
  const auto references = e2e["references"].get<References>();
  ASSERT_EQ(references.size(), 547u);
  for (const auto& [name, system] : e2e["systems"].items()) {
    SCOPED_TRACE(name);
    const Scores scores = score("e2e", references, system["outputs"].get<Outputs>());
    std::string keys;
    for (const auto& [key, value] : scores) {
      EXPECT_NEAR(value, system["scores"][key].get<double>(), 0.5e-4 + 1e-9) << key;
      keys += key + " ";
    }
    EXPECT_EQ(keys, "bleu nist meteor rouge_l cider ");
  }
}

TEST(MetricE2e, HostileTextsScoreAsInTheOriginals) {
  const auto& golden = goldens()["e2e_hostile"];
  const testing::Texts texts(golden);
  const StatisticsTable table = metric_table("e2e", texts.references, texts.outputs);
  for (const auto& [key, value] : table.corpus_scores())
    EXPECT_NEAR(value, golden["scores"][key].get<double>(), 1e-9) << key;
  for (size_t i = 0; i < texts.outputs.size(); ++i)
    for (const auto& [key, value] : table.scores(table.row(i))) {
      if (!golden.contains(key)) continue;
      EXPECT_NEAR(value, golden[key][i].get<double>(), 1e-9) << key << " of text " << i;
    }
}

// Short and empty outputs, no matches, empty references: what the challenge's Perl script gives.
TEST(MetricE2e, BleuAndNistAreThoseOfTheScript) {
  for (const auto& c : goldens()["mteval"]) {
    const testing::Texts texts(c);
    const Scores scores = score("e2e", texts.references, texts.outputs);
    for (const char* key : {"bleu", "nist"})
      EXPECT_NEAR(named(scores, key), c["scores"][key].get<double>(), 1e-9) << c["name"] << " " << key;
  }
  EXPECT_EQ(goldens()["mteval"].size(), 10u);
}

TEST(MetricE2e, TokensAreStanfords) {
  std::vector<std::string> lines;
  for (const auto& line : goldens()["ptb"]) lines.push_back(line[0]);
  const auto words = coco_words(lines);
  ASSERT_EQ(words.size(), lines.size());
  for (size_t i = 0; i < lines.size(); ++i)
    EXPECT_EQ(words[i], goldens()["ptb"][i][1].get<std::vector<std::string>>()) << lines[i];
}

TEST(MetricE2e, LinesStayLinesWhateverIsInThem) {
  EXPECT_EQ(ptb_tokens({"", "\n", " \t ", "a\nb", "\xef\xbf\xbd"}),
            (std::vector<std::vector<std::string>>{{}, {}, {}, {"a", "b"}, {}}));
  EXPECT_TRUE(ptb_tokens({}).empty());
}

TEST(MetricE2e, MeteorOfPairsIsTheOriginals) {
  MeteorLexicon lexicon;
  std::vector<Tokens> outputs, references;
  // The original aligns these two by paraphrases that are not in the part of its table which ships.
  const std::set<std::string> apart = {"dogs run quickly", "café über"};
  nlohmann::json pairs = nlohmann::json::array();
  for (const auto& pair : goldens()["meteor"])
    if (!apart.contains(pair["output"].get<std::string>())) pairs.push_back(pair);
  ASSERT_GT(pairs.size(), 20u);
  for (const auto& pair : pairs) {
    outputs.push_back(lexicon.read(pair["output"].get<std::string>()));
    references.push_back(lexicon.read(pair["reference"].get<std::string>()));
  }
  lexicon.load_paraphrases();
  for (size_t i = 0; i < outputs.size(); ++i) {
    std::vector<double> row;
    append_meteor_row(lexicon, {references[i]}, outputs[i], row);
    EXPECT_NEAR(meteor_score(row), pairs[i]["score"].get<double>(), 1e-9) << pairs[i].dump();
  }
}

TEST(MetricE2e, MeteorMatchesInFourStages) {
  MeteorLexicon lexicon;
  const Tokens output = lexicon.read("the dogs bought a large car"),
               reference = lexicon.read("the dog bought a big car");
  const auto matches = meteor_align(lexicon, output, reference);
  ASSERT_EQ(matches.size(), 6u);
  const MeteorMatch::Stage stages[] = {MeteorMatch::exact, MeteorMatch::stem,    MeteorMatch::exact,
                                       MeteorMatch::exact, MeteorMatch::synonym, MeteorMatch::exact};
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(matches[i].stage, stages[i]) << i;
}

TEST(MetricE2e, ParaphrasesComeFromTheTable) {
  MeteorLexicon lexicon;
  const Tokens output = lexicon.read("it can be found in town"), reference = lexicon.read("it is situated in town");
  lexicon.load_paraphrases();
  bool paraphrase = false;
  for (const MeteorMatch& match : meteor_align(lexicon, output, reference))
    paraphrase |= match.stage == MeteorMatch::paraphrase && match.output_length > 1;
  EXPECT_TRUE(paraphrase);
}

TEST(MetricE2e, EndlessRepetitionIsRefusedInsteadOfHanging) {
  std::string line;
  for (int i = 0; i < 3000; ++i) line += "the cat ";
  expect_error<InputError>([&] { score("e2e", {{line}}, {"cat " + line}); }, {"METEOR", "6001 words", "6000"});
}

TEST(MetricE2e, DataIsFoundThroughTheEnvironment) {
  const TemporaryDirectory directory;
  make_directories(directory / "meteor");
  testing::put_file(directory / "meteor/english.words", "x\n");
  ::setenv("CAMBIUM_DATA", directory.path().c_str(), 1);
  EXPECT_EQ(data_path("meteor/english.words"), directory / "meteor/english.words");
  EXPECT_NE(data_path("meteor/english.synsets.xz"), directory / "meteor/english.synsets.xz");  // the next place
  expect_error<Error>([] { data_path("meteor/none"); }, {"meteor/none", directory.path(), "CAMBIUM_DATA"});
  ::unsetenv("CAMBIUM_DATA");
}

}  // namespace
}  // namespace cambium::metrics
