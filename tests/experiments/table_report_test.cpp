// Reports in their four formats, their charts, and what results say about a paper's trend.
#include <gtest/gtest.h>

#include <cmath>

#include "experiments/lib/table/report.h"
#include "experiments/lib/table/svg.h"
#include "experiments/lib/table/tuning_report.h"
#include "tests/support/files.h"

namespace cambium::testing {
namespace {

Report small_report() {
  Report r{.title = "A & B", .subtitle = "of <1> paper"};
  ReportTable t{
      .title = "Scores",
      .columns = {
          {"method", false}, {"BLEU", true, "measured"}, {"NIST", true, "measured"}, {"BLEU", true, "published"}}};
  t.rows = {{"zero-shot", "3.10", "0.512", "–"}, {"lora", {"64.21±0.80", true}, "8.100", {"70.40", false, "a table"}}};
  t.notes = {"A note."};
  r.tables = {t};
  r.missing = {"cell 2: full"};
  r.samples = {{"name : X ||", {"X is."}, {{"lora", "X is good."}}}};
  r.facts = {{"command", "x run"}};
  return r;
}

TEST(Report, Text) {
  EXPECT_EQ(render(small_report(), ReportFormat::text),
            "Scores\n\n"
            "          | measured          | published\n"
            "method    |       BLEU   NIST |      BLEU\n"
            "-----------------------------------------\n"
            "zero-shot |       3.10  0.512 |         –\n"
            "lora      | 64.21±0.80  8.100 |     70.40\n"
            "A note.\n"
            "\nMissing:\n- cell 2: full\n"
            "\nSample 1: name : X ||\n"
            "[reference] X is.\n"
            "[lora]      X is good.\n");
}

TEST(Report, Markdown) {
  EXPECT_EQ(render(small_report(), ReportFormat::markdown),
            "## A &amp; B\n\nof &lt;1&gt; paper\n\n"
            "### Scores\n\n"
            "| method | BLEU (measured) | NIST (measured) | BLEU (published) |\n"
            "| --- | ---: | ---: | ---: |\n"
            "| zero-shot | 3.10 | 0.512 | – |\n"
            "| lora | **64.21±0.80** | 8.100 | 70.40 |\n"
            "\nA note.\n"
            "\nMissing:\n\n- cell 2: full\n"
            "\n**Input** name : X \\|\\|\n\n- reference: X is.\n- lora: X is good.\n"
            "\n| setting | value |\n| --- | --- |\n| command | x run |\n");
}

TEST(Report, Latex) {
  EXPECT_EQ(render(small_report(), ReportFormat::latex),
            "% A \\& B\n% needs \\usepackage{booktabs}\n"
            "\\begin{table}\n\\centering\n\\caption{Scores}\n\\begin{tabular}{lrrr}\n\\toprule\n"
            " & \\multicolumn{2}{c}{measured} & \\multicolumn{1}{c}{published} \\\\\n"
            "\\cmidrule(lr){2-3}\\cmidrule(lr){4-4}\n"
            "method & BLEU & NIST & BLEU \\\\\n\\midrule\n"
            "zero-shot & 3.10 & 0.512 & -- \\\\\n"
            "lora & \\textbf{64.21$\\pm$0.80} & 8.100 & 70.40 \\\\\n"
            "\\bottomrule\n\\end{tabular}\n"
            "\n\\smallskip\n{\\footnotesize A note.}\n\\end{table}\n"
            "% missing: cell 2: full\n");
}

TEST(Report, HtmlIsOnePageThatNeedsNothingElse) {
  Report r = small_report();
  r.figures = {{"F", line_chart({"step", "loss"}, {{"lora", 0, {1, 2, 3}, {3, 2, 1}}}), "c"}};
  const std::string page = render(r, ReportFormat::html);
  for (const char* part : {"<!DOCTYPE html>", "<h1>A &amp; B</h1>", "of &lt;1&gt; paper", " strong\">64.21",
                           "colspan=\"2\">measured", " title=\"a table\"", "<svg viewBox", "cell 2: full", "X is good.",
                           "prefers-color-scheme: dark", "@media print"})
    EXPECT_NE(page.find(part), page.npos) << part;
  for (const char* part : {"http:", "https:", "<script", "<link", "@import", "url(", "<img", "src="})
    EXPECT_EQ(page.find(part), page.npos) << part;
}

TEST(Report, TextsOfModelsCannotBreakOut) {
  const std::string hostile = "<script>alert('x')</script> & \"q\" $1_{2}% #3 \\end{table} | a*b ~^ [x](y)\n# z";
  EXPECT_EQ(escape_html("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
  EXPECT_EQ(escape_latex("a_b & 5% of $x {y} #1 ~ ^ \\ <|>"),
            "a\\_b \\& 5\\% of \\$x \\{y\\} \\#1 \\textasciitilde{} \\textasciicircum{} \\textbackslash{} "
            "\\textless{}\\textbar{}\\textgreater{}");
  EXPECT_EQ(escape_markdown("a|b *c* _d_ <e> [f] `g`\nh"), "a\\|b \\*c\\* \\_d\\_ &lt;e&gt; \\[f\\] \\`g\\` h");
  Report r = small_report();
  r.samples[0].outputs[0].second = r.title = r.tables[0].rows[0][0].text = r.facts[0].second = hostile;
  const std::string page = render(r, ReportFormat::html);
  EXPECT_EQ(page.find("<script"), page.npos);
  EXPECT_EQ(render(r, ReportFormat::latex).find("\\end{table} |"), std::string::npos);
  for (const std::string& line : {render(r, ReportFormat::markdown)}) EXPECT_EQ(line.find("\n# z"), line.npos);
}

TEST(Report, Numbers) {
  EXPECT_EQ(format_number(64.205, 1), "64.2");
  EXPECT_EQ(format_number(std::nan(""), 2), "–");
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(460800), "460,800");
  EXPECT_EQ(format_count(-1234567), "-1,234,567");
  EXPECT_EQ(format_count(-123), "-123");
  expect_error<InputError>([] { report_format_named("pdf"); }, {"--format pdf", "latex"});
}

TEST(Charts, TicksAreRoundAndCoverTheRange) {
  for (const auto& [low, high] :
       {std::pair{0.0, 71.4}, {1.3, 1.4}, {-3.0, 8.0}, {0.0, 1e7}, {5.0, 5.0}, {0.0, 0.0}, {1e-9, 3e-9}}) {
    const std::vector<double> ticks = axis_ticks(low, high);
    ASSERT_GE(ticks.size(), 2u);
    EXPECT_LE(ticks.size(), 14u);
    EXPECT_LE(ticks.front(), low * (1 + 1e-12));
    EXPECT_GE(ticks.back(), high * (1 - 1e-12));
    for (size_t i = 1; i < ticks.size(); ++i)
      EXPECT_NEAR(ticks[i] - ticks[i - 1], ticks[1] - ticks[0], 1e-9 * std::abs(ticks[1] - ticks[0]) + 1e-18);
  }
}

TEST(Charts, HoldWhatTheyShow) {
  const std::string lines = line_chart(
      {"step", "loss"}, {{"prefix <p>", 0, {1, 2, 3}, {3, 2, 1}}, {"lora", 1, {1, 2, 3}, {2, std::nan(""), 1}}});
  EXPECT_NE(lines.find("prefix &lt;p&gt;"), lines.npos);
  EXPECT_EQ(lines.find("nan"), lines.npos);
  const std::string bars =
      bar_chart({"", "BLEU"}, {"zero", "lora"},
                {{"measured", 0, {3, 64}, {std::nan(""), 1}}, {"published", 1, {std::nan(""), 70}, {}}});
  EXPECT_EQ(bars.find("nan"), bars.npos);
  size_t count = 0;
  for (size_t at = bars.find("<title>"); at != bars.npos; at = bars.find("<title>", at + 1)) ++count;
  EXPECT_EQ(count, 3u);  // three bars that have a value
  const std::string points = scatter_chart({"p", "q", true}, {{"a", 0, 1000, 3}, {"b", 1, 1e6, 5}});
  EXPECT_NE(points.find(">1M<"), points.npos);
  EXPECT_EQ(line_chart({"x", "y"}, {}), "");
  EXPECT_EQ(scatter_chart({"x", "y"}, {}), "");
}

// Results whose outputs equal the reference in so many of n texts.
CellResult outputs_right(const std::string& method, uint64_t seed, size_t right, size_t n = 40) {
  CellResult r{.experiment = "e", .cell = {"m", method, "t", seed, method}};
  for (size_t i = 0; i < n; ++i) {
    const std::string truth = text("the place number ", i, " serves good food by the river");
    r.inputs.push_back(text("input ", i));
    r.references.push_back({truth});
    r.outputs.push_back(i < right ? truth : "something else altogether is written here now");
  }
  return r;
}

// The same for several seeds; `right` of seed k is rights[k].
std::vector<CellResult> seeds_right(const std::string& method, const std::vector<size_t>& rights) {
  std::vector<CellResult> all;
  for (size_t k = 0; k < rights.size(); ++k) all.push_back(outputs_right(method, k, rights[k]));
  return all;
}
RowResults row_of(const std::vector<CellResult>& cells) {
  RowResults row{{.name = cells.front().cell.method}, {}, int64_t(cells.size())};
  for (const CellResult& c : cells) row.seeds.push_back(&c);
  return row;
}

TEST(Verdict, SaysWhatTheResultsSay) {
  const auto good = seeds_right("good", {36, 35, 36, 34, 36}), bad = seeds_right("bad", {8, 9, 7, 8, 10}),
             alike = seeds_right("alike", {35, 36, 35, 36, 35});
  const std::vector<CellResult> late = {outputs_right("late", 7, 36)};
  const std::vector<RowResults> rows = {
      row_of(good), row_of(bad), row_of(alike), {{.name = "none"}, {}, 1}, row_of(late)};
  const std::vector<Verdict> v = judge({{"good", "bad", ""},
                                        {"bad", "good", ""},
                                        {"good", "alike", ""},
                                        {"good", "none", ""},
                                        {"good", "absent", ""},
                                        {"good", "late", ""}},
                                       rows, "bleu", "bleu");
  ASSERT_EQ(v.size(), 6u);
  EXPECT_EQ(v[0].word(), "holds");
  EXPECT_EQ(v[1].word(), "reversed");
  EXPECT_EQ(v[2].word(), "open");
  EXPECT_EQ(v[3].word(), "not testable");
  EXPECT_EQ(v[3].why, "none is not finished");
  EXPECT_EQ(v[4].why, "absent is not in this grid");
  EXPECT_EQ(v[5].why, "no seed is finished for both");
  EXPECT_NEAR(v[0].test.a, 90, 5);
  EXPECT_EQ(v[0].test.seeds, 5u);
  EXPECT_LT(v[0].test.p, 0.01);
  EXPECT_EQ(v[0].adjusted_p, 3 * v[0].test.p);  // of three that can be tested
  EXPECT_GT(v[2].test.p, 0.05);
}

// Four seeds are too few, however clear they are.
TEST(Verdict, FewSeedsStayOpen) {
  for (const size_t count : {1, 2, 4}) {
    const auto good = seeds_right("good", std::vector<size_t>(count, 36)),
               bad = seeds_right("bad", std::vector<size_t>(count, 8));
    const std::vector<Verdict> v =
        judge({{"good", "bad", ""}, {"bad", "good", ""}}, {row_of(good), row_of(bad)}, "bleu", "bleu");
    EXPECT_EQ(v[0].word(), count == 1 ? "open (1 seed)" : text("open (", count, " seeds)"));
    EXPECT_EQ(v[1].word(), v[0].word());
    EXPECT_TRUE(count < 4 || v[0].test.low > 0);
  }
}

// Each text is better, but the seeds disagree: an interval over texts alone would be sure.
TEST(Verdict, SeedsThatDisagreeStayOpen) {
  const auto wild = seeds_right("wild", {39, 2, 38, 3, 39}), calm = seeds_right("calm", {15, 15, 15, 15, 15});
  const std::vector<Verdict> v = judge({{"wild", "calm", ""}}, {row_of(wild), row_of(calm)}, "bleu", "bleu");
  EXPECT_EQ(v[0].word(), "open");
  EXPECT_GT(v[0].test.a, v[0].test.b);
  EXPECT_GT(v[0].test.detectable, v[0].test.a - v[0].test.b);
}

// The interval may lie above 0 where Holm's p over many claims is not below 0.05.
TEST(Verdict, HolmsPDecidesToo) {
  const auto a = seeds_right("a", {28, 30, 29, 27, 30}), b = seeds_right("b", {19, 20, 21, 18, 20});
  const auto words = [&](size_t claims) {
    std::vector<Claim> all(claims, Claim{"b", "b", ""});  // tests that find nothing
    all.front() = {"a", "b", ""};
    return judge(all, {row_of(a), row_of(b)}, "bleu", "bleu").front();
  };
  const Verdict alone = words(1), among = words(40);
  EXPECT_EQ(alone.word(), "holds");
  EXPECT_GT(among.test.low, 0);
  EXPECT_EQ(among.test.low, alone.test.low);
  EXPECT_GE(among.adjusted_p, 0.05);
  EXPECT_EQ(among.word(), "open");
}

TEST(Verdict, SeedsArePairedAndOtherTextsRefused) {
  const CellResult a0 = outputs_right("a", 0, 30), a1 = outputs_right("a", 1, 20), b1 = outputs_right("b", 1, 10);
  CellResult moved = outputs_right("c", 1, 10);
  moved.inputs[3] = "another";
  const std::vector<RowResults> rows = {
      {{.name = "a"}, {&a0, &a1}, 2}, {{.name = "b"}, {&b1}, 2}, {{.name = "c"}, {&moved}, 1}};
  const std::vector<Verdict> v = judge({{"a", "b", ""}, {"a", "c", ""}}, rows, "bleu", "bleu");
  EXPECT_EQ(v[0].test.seeds, 1u);
  EXPECT_LT(v[0].test.a, 65);  // seed 1 alone
  EXPECT_EQ(v[1].why, "they were scored on different texts");
}

}  // namespace
}  // namespace cambium::testing
