#include "experiments/lib/table/html.h"

#include "core/error.h"
#include "experiments/lib/table/report.h"

namespace cambium {
namespace {

constexpr const char* kStyle = R"css(
:root { color-scheme: light dark; --paper: #ffffff; --card: #f6f7f9; --ink: #1d2430; --soft: #5b6675; --rule: #d8dde4; --mark: #e8f0f8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181e; --card: #1c222a; --ink: #e6eaf0; --soft: #9aa6b5; --rule: #333c48; --mark: #20303f; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1860px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 40px 0 12px; padding-bottom: 5px; border-bottom: 1px solid var(--rule); }
.subtitle { color: var(--soft); margin: 0 0 18px; max-width: none; }
p { max-width: 80ch; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 8px; font-size: 14px; text-align: left; vertical-align: top; white-space: nowrap; }
th.number, td.number { text-align: right; }
thead th { color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--rule); }
thead tr.groups th { border-bottom: 0; text-align: center; color: var(--ink); padding-bottom: 0; }
tbody tr + tr td { border-top: 1px solid var(--rule); }
tbody tr:hover { background: var(--mark); }
td:first-child { font-weight: 600; }
a { color: inherit; }
.scroll { margin: 0 -8px; }
th.edge, td.edge { border-left: 1px solid var(--rule); }
td.strong { font-weight: 700; background: var(--mark); }
.note { color: var(--soft); font-size: 13.5px; margin: 6px 0; max-width: 110ch; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 20px; }
figure { margin: 0; padding: 14px 16px 10px; background: var(--card); border-radius: 8px; break-inside: avoid; }
figure h3 { margin: 0 0 8px; font-size: 15px; }
figcaption { color: var(--soft); font-size: 13px; margin-top: 4px; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, "DejaVu Sans", sans-serif; }
svg .ink { fill: var(--ink); } svg .small { font-size: 10.5px; }
svg .grid { stroke: var(--rule); } svg .axis { stroke: var(--soft); } svg .whisker { stroke: var(--ink); stroke-width: 1.5; }
.sample { background: var(--card); border-radius: 8px; padding: 12px 16px; margin: 0 0 14px; break-inside: avoid; }
.sample .input { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 13px; overflow-wrap: anywhere; }
.sample dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 16px; margin: 8px 0 0; }
.sample dt { font-weight: 600; } .sample dd { margin: 0; overflow-wrap: anywhere; }
.sample .reference { color: var(--soft); font-weight: 400; }
.facts td { white-space: normal; overflow-wrap: anywhere; } .facts td:first-child { white-space: nowrap; }
.facts code { font: 13px ui-monospace, "DejaVu Sans Mono", monospace; }
.missing { border-left: 4px solid #CCBB44; padding: 2px 14px; background: var(--card); }
@media (max-width: 620px) { .figures { grid-template-columns: 1fr; } main { padding: 20px 14px; } }
@media print {
  :root { --paper: #ffffff; --card: #ffffff; --ink: #000000; --soft: #444444; --rule: #bbbbbb; --mark: #eeeeee; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  figure, .sample { border: 1px solid var(--rule); } .figures { grid-template-columns: 1fr 1fr; }
  th, td { padding: 2px 5px; font-size: 8.5pt; } .scroll { overflow: visible; }
}
)css";

std::string tag(const char* name, const std::string& words, const char* css = "") {
  return text("<", name, *css ? text(" class=\"", css, "\"") : "", ">", escape_html(words), "</", name, ">\n");
}

// A rule stands before each new group of columns.
bool starts_group(const ReportTable& t, size_t i) { return i > 0 && t.columns[i].group != t.columns[i - 1].group; }

std::string css_of(const ReportTable& t, size_t i, bool strong = false) {
  std::string css = t.columns[i].number ? "number" : "";
  if (starts_group(t, i)) css += " edge";
  if (strong) css += " strong";
  return css.empty() ? "" : " class=\"" + css + "\"";
}

std::string table_head(const ReportTable& t) {
  std::string out = "<thead>\n", groups;
  bool any = false;
  for (size_t i = 0; i < t.columns.size();) {
    size_t end = i + 1;
    while (end < t.columns.size() && !starts_group(t, end)) ++end;
    any |= !t.columns[i].group.empty();
    groups += text("<th", starts_group(t, i) ? " class=\"edge\"" : "", " colspan=\"", end - i, "\">",
                   escape_html(t.columns[i].group), "</th>");
    i = end;
  }
  if (any) out += "<tr class=\"groups\">" + groups + "</tr>\n";
  out += "<tr>";
  for (size_t i = 0; i < t.columns.size(); ++i)
    out += text("<th", css_of(t, i), ">", escape_html(t.columns[i].title), "</th>");
  return out + "</tr>\n</thead>\n";
}

std::string html_table(const ReportTable& t) {
  std::string out = tag("h2", t.title) + "<div class=\"scroll\"><table>\n" + table_head(t) + "<tbody>\n";
  for (const auto& row : t.rows) {
    out += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string note = row[i].note.empty() ? "" : text(" title=\"", escape_html(row[i].note), "\"");
      std::string words = escape_html(row[i].text);
      if (!row[i].link.empty()) words = text("<a href=\"", escape_html(row[i].link), "\">", words, "</a>");
      out += text("<td", css_of(t, i, row[i].strong), note, ">", words, "</td>");
    }
    out += "</tr>\n";
  }
  out += "</tbody>\n</table></div>\n";
  for (const std::string& note : t.notes) out += tag("p", note, "note");
  return out;
}

std::string html_sample(const ReportSample& s) {
  std::string out = "<div class=\"sample\">\n" + tag("div", s.input, "input") + "<dl>\n";
  for (const std::string& r : s.references) out += tag("dt", "reference", "reference") + tag("dd", r, "reference");
  for (const auto& [method, output] : s.outputs)
    out += tag("dt", method) + tag("dd", output.empty() ? "(nothing)" : output);
  return out + "</dl>\n</div>\n";
}

}  // namespace

std::string render_html(const Report& r) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n" +
      tag("title", r.title) + "<style>" + kStyle + "</style>\n</head>\n<body>\n<main>\n" + tag("h1", r.title) +
      tag("p", r.subtitle, "subtitle");
  for (const std::string& p : r.introduction) out += tag("p", p);
  if (!r.missing.empty()) {
    out += "<div class=\"missing\">\n<p>Not finished:</p>\n<ul>\n";
    for (const std::string& m : r.missing) out += tag("li", m);
    out += "</ul>\n</div>\n";
  }
  for (const ReportTable& t : r.tables) out += html_table(t);
  if (!r.figures.empty()) out += tag("h2", "Figures") + "<div class=\"figures\">\n";
  for (const ReportFigure& f : r.figures)
    out += "<figure>\n" + tag("h3", f.title) + f.svg + tag("figcaption", f.caption) + "</figure>\n";
  if (!r.figures.empty()) out += "</div>\n";
  if (!r.samples.empty()) out += tag("h2", "What the methods write");
  for (const ReportSample& s : r.samples) out += html_sample(s);
  if (!r.facts.empty())
    out += tag("h2", "Settings, versions, machine") + "<div class=\"scroll\"><table class=\"facts\">\n";
  for (const auto& [name, value] : r.facts)
    out += text("<tr><td>", escape_html(name), "</td><td><code>", escape_html(value), "</code></td></tr>\n");
  if (!r.facts.empty()) out += "</table></div>\n";
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace cambium
