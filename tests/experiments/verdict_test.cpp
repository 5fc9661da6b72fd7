// What results say about a paper's trends: four kinds of claims, and when they stay open.
#include <gtest/gtest.h>

#include <deque>

#include "experiments/lib/table/study_report.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

// Cells whose answers are right for so many of n texts, with the groups that they make.
class Results {
 public:
  // rights[k]: of seed k; seeds from `first` on.
  void add(Coordinates at, const std::vector<size_t>& rights, uint64_t first = 0, size_t n = 40) {
    Group& g = groups_.emplace_back();
    g.spec = {.model = "m", .method = at.at("method"), .task = "synthetic"};
    at.insert({{"model", "m"}, {"task", "synthetic"}});
    g.at = std::move(at), g.wanted = int64_t(rights.size());
    for (size_t k = 0; k < rights.size(); ++k) {
      CellResult& r = cells_.emplace_back();
      r.cell = {"m", g.spec.method, "synthetic", first + k, ""};
      for (size_t i = 0; i < n; ++i) {
        const std::string truth = i % 2 ? "positive" : "negative";
        r.inputs.push_back(text("input ", i)), r.references.push_back({truth});
        r.outputs.push_back(i < rights[k] ? truth : i % 2 ? "negative" : "positive");
      }
      r.scores["accuracy"] = double(rights[k]) / double(n);
      r.measurements["size"] = double(groups_.size());
      g.seeds.push_back(&r);
    }
  }
  CellResult& last_cell() { return cells_.back(); }

  std::vector<Verdict> judged(std::vector<Claim> claims, ScoreColumn column = {"accuracy", "accuracy", 100, 1}) const {
    return judge(study(std::move(claims), column), {grid, groups_, task()});
  }
  ReportTable table(std::vector<Claim> claims, ScoreColumn column = {"accuracy", "accuracy", 100, 1}) const {
    return verdict_table(study(std::move(claims), column), {grid, groups_, task()});
  }
  Grid grid;

 private:
  static Study study(std::vector<Claim> claims, const ScoreColumn& column) {
    Study s;
    s.columns = {column};
    s.claims = std::move(claims);
    return s;
  }
  static std::function<const Task&(const CellSpec&)> task() {
    static const std::unique_ptr<Task> synthetic = make_task("synthetic", "");
    return [](const CellSpec&) -> const Task& { return *synthetic; };
  }
  std::deque<CellResult> cells_;
  std::vector<Group> groups_;
};

Coordinates method(const std::string& name) { return {{"method", name}}; }

TEST(Verdict, SaysWhatTheResultsSay) {
  Results r;
  r.add(method("good"), {36, 35, 36, 34, 36});
  r.add(method("bad"), {8, 9, 7, 8, 10});
  r.add(method("alike"), {35, 36, 35, 36, 35});
  r.add(method("none"), {});
  r.add(method("late"), {36}, 7);
  const std::vector<Verdict> v =
      r.judged({method_above("good", "bad", ""), method_above("bad", "good", ""), method_above("good", "alike", ""),
                method_above("good", "none", ""), method_above("good", "absent", ""),
                method_above("absent", "good", ""), method_above("good", "late", "")});
  ASSERT_EQ(v.size(), 7u);
  EXPECT_EQ(v[0].word(), "holds");
  EXPECT_EQ(v[1].word(), "reversed");
  EXPECT_EQ(v[2].word(), "open");
  EXPECT_EQ(v[3].word(), "not testable");
  EXPECT_EQ(v[3].why, "none is not finished");
  EXPECT_EQ(v[4].why, "absent is not in this grid");
  EXPECT_EQ(v[5].why, "absent is not in this grid");
  EXPECT_EQ(v[6].why, "no seed is finished for both");
  EXPECT_EQ(v[0].claim, "good above bad");
  EXPECT_NEAR(v[0].test.difference, (177 - 42) / 200., 1e-12);
  EXPECT_EQ(v[0].test.seeds, 5u);
  EXPECT_LT(v[0].test.p, 0.01);
  EXPECT_EQ(v[0].adjusted_p, 3 * v[0].test.p);  // of three that can be tested
  EXPECT_GT(v[2].test.p, 0.05);
}

// Four seeds are too few, however clear they are.
TEST(Verdict, FewSeedsStayOpen) {
  for (const size_t count : {1, 2, 4}) {
    Results r;
    r.add(method("good"), std::vector<size_t>(count, 36)), r.add(method("bad"), std::vector<size_t>(count, 8));
    const std::vector<Verdict> v = r.judged({method_above("good", "bad", ""), method_above("bad", "good", "")});
    EXPECT_EQ(v[0].word(), count == 1 ? "open (1 seed)" : text("open (", count, " seeds)"));
    EXPECT_EQ(v[1].word(), v[0].word());
    EXPECT_TRUE(count < 4 || v[0].test.low > 0);
  }
}

// Each text is better, but the seeds disagree: an interval over texts alone would be sure.
TEST(Verdict, SeedsThatDisagreeStayOpen) {
  Results r;
  r.add(method("wild"), {39, 2, 38, 3, 39}), r.add(method("calm"), {15, 15, 15, 15, 15});
  const std::vector<Verdict> v = r.judged({method_above("wild", "calm", "")});
  EXPECT_EQ(v[0].word(), "open");
  EXPECT_GT(v[0].test.difference, 0);
  EXPECT_GT(v[0].test.detectable, v[0].test.difference);
}

// The interval may lie above 0 where Holm's p over many claims is not below 0.05.
TEST(Verdict, HolmsPDecidesToo) {
  Results r;
  r.add(method("a"), {28, 30, 29, 27, 30}), r.add(method("b"), {19, 20, 21, 18, 20});
  const auto verdict = [&](size_t claims) {
    std::vector<Claim> all(claims, method_above("b", "b", ""));  // tests that find nothing
    all.front() = method_above("a", "b", "");
    return r.judged(all).front();
  };
  const Verdict alone = verdict(1), among = verdict(40);
  EXPECT_EQ(alone.word(), "holds");
  EXPECT_GT(among.test.low, 0);
  EXPECT_EQ(among.test.low, alone.test.low);
  EXPECT_GE(among.adjusted_p, 0.05);
  EXPECT_EQ(among.word(), "open");
}

TEST(Verdict, SeedsArePairedAndOtherTextsRefused) {
  Results r;
  r.add(method("a"), {30, 20}), r.add(method("b"), {10}, 1), r.add(method("c"), {10}, 1);
  r.last_cell().inputs[3] = "another";
  const std::vector<Verdict> v = r.judged({method_above("a", "b", ""), method_above("a", "c", "")});
  EXPECT_EQ(v[0].test.seeds, 1u);
  EXPECT_DOUBLE_EQ(v[0].test.difference, 0.25);  // seed 1 alone
  EXPECT_EQ(v[1].why, "they were scored on different texts");
}

// Where less is better the same difference says the opposite.
TEST(Verdict, LowerMayBeBetter) {
  Results r;
  r.add(method("high"), {36, 35, 36, 34, 36}), r.add(method("low"), {8, 9, 7, 8, 10});
  ScoreColumn error{"accuracy", "error", 100, 1};
  error.better = ScoreColumn::Better::lower;
  const std::vector<Verdict> v = r.judged({method_above("low", "high", ""), method_above("high", "low", "")}, error);
  EXPECT_EQ(v[0].word(), "holds");
  EXPECT_EQ(v[1].word(), "reversed");
  EXPECT_LT(v[0].test.difference, 0);
}

// Curves: along an axis, for each method that the claim does not name.
TEST(Verdict, RisesAndGapsAreSeenAlongAnAxis) {
  Results r;
  r.grid.axes = {option_axis("length", {"1", "5", "20"})};
  const auto at = [](const char* name, const char* length) {
    return Coordinates{{"method", name}, {"length", length}};
  };
  r.add(at("prompt", "1"), {20, 21, 20, 19, 20}), r.add(at("prompt", "5"), {22, 22, 22, 22, 22});
  r.add(at("prompt", "20"), {36, 37, 36, 35, 36});
  r.add(at("full", "1"), {36, 36, 37, 36, 35}), r.add(at("full", "20"), {37, 37, 38, 37, 37});
  const std::vector<Verdict> v =
      r.judged({rises("length", method("prompt"), ""), gap_shrinks(method("full"), method("prompt"), "length", ""),
                gap_shrinks(method("prompt"), method("full"), "length", ""), rises("length", {}, ""),
                rises("depth", method("prompt"), ""), above(at("full", "1"), at("prompt", "1"), "")});
  ASSERT_EQ(v.size(), 7u) << "a rise for each method";
  EXPECT_EQ(v[0].word(), "holds");
  EXPECT_DOUBLE_EQ(v[0].test.difference, 80. / 200);
  EXPECT_EQ(v[1].word(), "holds");
  EXPECT_NEAR(v[1].test.difference, (180 - 100 - 186 + 180) / 200., 1e-12);
  EXPECT_EQ(v[2].word(), "reversed");
  EXPECT_EQ(v[3].claim, "rises with length, prompt");
  EXPECT_EQ(v[4].claim, "rises with length, full");
  EXPECT_EQ(v[5].why, "this grid has no two values of depth");
  EXPECT_EQ(v[6].word(), "holds");
}

// A claim about another task than those of the grid is not mentioned.
TEST(Verdict, ClaimsOfOtherPlacesAreLeftOut) {
  Results r;
  r.add(method("a"), {30}), r.add(method("b"), {10});
  EXPECT_TRUE(r.judged({method_above("a", "b", "", {{"task", "sst2"}})}).empty());
  EXPECT_TRUE(r.table({method_above("a", "b", "", {{"task", "sst2"}})}).rows.empty());
}

TEST(Verdict, MeasurementsCorrelate) {
  Results r;
  for (size_t i = 0; i < 9; ++i) r.add({{"method", text("m", i)}}, std::vector<size_t>(5, 4 * i + i % 2));
  const std::vector<Verdict> v = r.judged({correlates("size", {}, ""), correlates("absent", {}, "")});
  EXPECT_DOUBLE_EQ(v[0].test.difference, 1);
  EXPECT_EQ(v[0].word(), "holds");
  EXPECT_EQ(v[1].why, "fewer than three places are finished");
}

TEST(Verdict, McNemarsPairsStandBesideAccuracies) {
  Results r;
  r.add(method("a"), {36}), r.add(method("b"), {28});
  const ReportTable t = r.table({method_above("a", "b", "Table 1")});
  ASSERT_EQ(t.rows.size(), 1u);
  EXPECT_EQ(t.columns[t.columns.size() - 2].title, "right alone");
  EXPECT_EQ(t.rows[0][t.rows[0].size() - 2].text, "8:0 p 0.008");
  EXPECT_EQ(t.rows[0].back().text, "Table 1");
}

}  // namespace
}  // namespace cambium::testing
