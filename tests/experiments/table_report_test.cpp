// Reports in their four formats, and their charts.
#include <gtest/gtest.h>

#include <cmath>

#include "experiments/lib/table/report.h"
#include "experiments/lib/table/svg.h"
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
  const std::string field = heat_map({"source", "target"}, {"<a>", "b"}, {"a", "b"}, {{0.5, std::nan("")}, {12.5, 1}});
  for (const char* part : {"&lt;a&gt;", ">0.50<", ">12.5<", "#4477aa", "#eef3f8"})
    EXPECT_NE(field.find(part), field.npos) << part;
  EXPECT_EQ(field.find("nan"), field.npos);
  EXPECT_EQ(heat_map({"x", "y"}, {"a"}, {"b"}, {{std::nan("")}}), "");
  EXPECT_EQ(line_chart({"x", "y"}, {}), "");
  EXPECT_EQ(scatter_chart({"x", "y"}, {}), "");
}

}  // namespace
}  // namespace cambium::testing
