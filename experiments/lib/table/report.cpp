#include "experiments/lib/table/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/error.h"
#include "experiments/lib/table/html.h"

namespace cambium {
namespace {

// Columns on a terminal: characters of UTF-8 (all that we print are one column wide).
size_t width_of(const std::string& s) {
  return size_t(std::count_if(s.begin(), s.end(), [](char c) { return (uint8_t(c) & 0xc0) != 0x80; }));
}

std::string padded(const std::string& s, size_t width, bool right) {
  const std::string blanks(width > width_of(s) ? width - width_of(s) : 0, ' ');
  return right ? blanks + s : s + blanks;
}

std::string whole_line(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

// Runs of columns with the same group: [begin, end).
struct ColumnGroup {
  std::string title;
  size_t begin, end;
};
std::vector<ColumnGroup> groups_of(const ReportTable& table) {
  std::vector<ColumnGroup> groups;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    if (groups.empty() || groups.back().title != table.columns[i].group)
      groups.push_back({table.columns[i].group, i, i});
    groups.back().end = i + 1;
  }
  return groups;
}
bool has_groups(const ReportTable& table) {
  return std::any_of(table.columns.begin(), table.columns.end(), [](const auto& c) { return !c.group.empty(); });
}

std::string text_table(const ReportTable& table) {
  std::vector<size_t> widths;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    size_t width = width_of(table.columns[i].title);
    for (const auto& row : table.rows) width = std::max(width, width_of(row[i].text));
    widths.push_back(width);
  }
  const auto gap = [&](size_t i) {
    return i == 0 ? "" : table.columns[i].group != table.columns[i - 1].group ? " | " : "  ";
  };
  std::string out = table.title + "\n\n";
  if (has_groups(table)) {
    std::string line;
    for (const ColumnGroup& g : groups_of(table)) {
      size_t width = 0;
      for (size_t i = g.begin; i < g.end; ++i) width += widths[i] + (i > g.begin ? 2 : 0);
      if (width_of(g.title) > width) widths[g.end - 1] += width_of(g.title) - width, width = width_of(g.title);
      line += gap(g.begin) + padded(g.title, width, false);
    }
    out += whole_line(line);
  }
  std::string line, rule;
  for (size_t i = 0; i < table.columns.size(); ++i) {
    line += gap(i) + padded(table.columns[i].title, widths[i], table.columns[i].number);
    rule += std::string(std::string(gap(i)).size() + widths[i], '-');
  }
  out += whole_line(line) + rule + "\n";
  for (const auto& row : table.rows) {
    line.clear();
    for (size_t i = 0; i < row.size(); ++i) line += gap(i) + padded(row[i].text, widths[i], table.columns[i].number);
    out += whole_line(line);
  }
  for (const std::string& note : table.notes) out += note + "\n";
  return out;
}

std::string render_text(const Report& r) {
  std::string out;
  for (const ReportTable& t : r.tables) out += (out.empty() ? "" : "\n") + text_table(t);
  if (!r.missing.empty()) out += "\nMissing:\n";
  for (const std::string& m : r.missing) out += "- " + m + "\n";
  for (size_t i = 0; i < r.samples.size(); ++i) {
    const ReportSample& s = r.samples[i];
    out += text("\nSample ", i + 1, ": ", s.input, "\n");
    size_t width = 11;
    for (const auto& [method, _] : s.outputs) width = std::max(width, method.size() + 2);
    if (!s.references.empty()) out += padded("[reference]", width, false) + " " + s.references.front() + "\n";
    for (const auto& [method, output] : s.outputs)
      out += padded("[" + method + "]", width, false) + " " + output + "\n";
  }
  return out;
}

std::string markdown_table(const ReportTable& table) {
  std::string out = "### " + escape_markdown(table.title) + "\n\n|", rule = "|";
  for (const auto& c : table.columns) {
    out += " " + escape_markdown(c.group.empty() || !c.number ? c.title : c.title + " (" + c.group + ")") + " |";
    rule += c.number ? " ---: |" : " --- |";
  }
  out += "\n" + rule + "\n";
  for (const auto& row : table.rows) {
    out += "|";
    for (const auto& v : row)
      out += v.strong ? " **" + escape_markdown(v.text) + "** |" : " " + escape_markdown(v.text) + " |";
    out += "\n";
  }
  for (const std::string& note : table.notes) out += "\n" + escape_markdown(note) + "\n";
  return out;
}

std::string render_markdown(const Report& r) {
  std::string out = "## " + escape_markdown(r.title) + "\n\n" + escape_markdown(r.subtitle) + "\n";
  for (const std::string& p : r.introduction) out += "\n" + escape_markdown(p) + "\n";
  for (const ReportTable& t : r.tables) out += "\n" + markdown_table(t);
  if (!r.missing.empty()) out += "\nMissing:\n\n";
  for (const std::string& m : r.missing) out += "- " + escape_markdown(m) + "\n";
  for (const ReportSample& s : r.samples) {
    out += "\n**Input** " + escape_markdown(s.input) + "\n\n";
    if (!s.references.empty()) out += "- reference: " + escape_markdown(s.references.front()) + "\n";
    for (const auto& [method, output] : s.outputs)
      out += "- " + escape_markdown(method) + ": " + escape_markdown(output) + "\n";
  }
  if (!r.facts.empty()) out += "\n| setting | value |\n| --- | --- |\n";
  for (const auto& [name, value] : r.facts)
    out += "| " + escape_markdown(name) + " | " + escape_markdown(value) + " |\n";
  return out;
}

std::string latex_table(const ReportTable& table) {
  std::string out = "\\begin{table}\n\\centering\n\\caption{" + escape_latex(table.title) + "}\n\\begin{tabular}{";
  for (const auto& c : table.columns) out += c.number ? "r" : "l";
  out += "}\n\\toprule\n";
  if (has_groups(table)) {
    std::string rules;
    for (const ColumnGroup& g : groups_of(table)) {
      if (g.begin > 0) out += " & ";
      if (g.title.empty()) out += std::string(g.end - g.begin - 1, '&');
      else {
        out += text("\\multicolumn{", g.end - g.begin, "}{c}{", escape_latex(g.title), "}");
        rules += text("\\cmidrule(lr){", g.begin + 1, "-", g.end, "}");
      }
    }
    out += " \\\\\n" + rules + "\n";
  }
  for (size_t i = 0; i < table.columns.size(); ++i) out += (i ? " & " : "") + escape_latex(table.columns[i].title);
  out += " \\\\\n\\midrule\n";
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string value = escape_latex(row[i].text);
      out += (i ? " & " : "") + (row[i].strong ? "\\textbf{" + value + "}" : value);
    }
    out += " \\\\\n";
  }
  out += "\\bottomrule\n\\end{tabular}\n";
  for (const std::string& note : table.notes) out += "\n\\smallskip\n{\\footnotesize " + escape_latex(note) + "}\n";
  return out + "\\end{table}\n";
}

std::string render_latex(const Report& r) {
  const auto comment = [](const std::string& s) {  // on one line
    std::string line = escape_latex(s);
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line;
  };
  std::string out = "% " + comment(r.title) + "\n% needs \\usepackage{booktabs}\n";
  for (const ReportTable& t : r.tables) out += latex_table(t);
  for (const std::string& m : r.missing) out += "% missing: " + comment(m) + "\n";
  return out;
}

// Each character that `escapes` knows becomes what it says.
template <class F>
std::string escaped(const std::string& s, const F& escapes) {
  std::string out;
  for (const char c : s) {
    const char* to = escapes(c);
    if (to) out += to;
    else out += c;
  }
  return out;
}

}  // namespace

ReportFormat report_format_named(const std::string& name) {
  if (name == "text") return ReportFormat::text;
  if (name == "markdown") return ReportFormat::markdown;
  if (name == "latex") return ReportFormat::latex;
  if (name == "html") return ReportFormat::html;
  throw InputError(text("--format ", name, ": there are text, markdown, latex and html"));
}

std::string render(const Report& report, ReportFormat format) {
  switch (format) {
    case ReportFormat::text: return render_text(report);
    case ReportFormat::markdown: return render_markdown(report);
    case ReportFormat::latex: return render_latex(report);
    case ReportFormat::html: break;
  }
  return render_html(report);
}

std::string escape_html(const std::string& s) {
  return escaped(s, [](char c) -> const char* {
    switch (c) {
      case '&': return "&amp;";
      case '<': return "&lt;";
      case '>': return "&gt;";
      case '"': return "&quot;";
      case '\'': return "&#39;";
      default: return nullptr;
    }
  });
}

std::string escape_latex(const std::string& s) {
  std::string out = escaped(s, [](char c) -> const char* {
    switch (c) {
      case '\\': return "\\textbackslash{}";
      case '{': return "\\{";
      case '}': return "\\}";
      case '&': return "\\&";
      case '%': return "\\%";
      case '$': return "\\$";
      case '#': return "\\#";
      case '_': return "\\_";
      case '~': return "\\textasciitilde{}";
      case '^': return "\\textasciicircum{}";
      case '<': return "\\textless{}";
      case '>': return "\\textgreater{}";
      case '|': return "\\textbar{}";
      case '\n':
      case '\r': return " ";
      default: return nullptr;
    }
  });
  for (const auto& [from, to] :
       {std::pair<std::string, std::string>{"±", "$\\pm$"}, {"–", "--"}, {"−", "$-$"}, {"×", "$\\times$"}})
    for (size_t at = out.find(from); at != out.npos; at = out.find(from, at + to.size()))
      out.replace(at, from.size(), to);
  return out;
}

std::string escape_markdown(const std::string& s) {
  return escaped(s, [](char c) -> const char* {
    switch (c) {
      case '\\': return "\\\\";
      case '|': return "\\|";
      case '*': return "\\*";
      case '_': return "\\_";
      case '`': return "\\`";
      case '[': return "\\[";
      case ']': return "\\]";
      case '<': return "&lt;";
      case '>': return "&gt;";
      case '&': return "&amp;";
      case '#': return "\\#";
      case '\n':
      case '\r': return " ";
      default: return nullptr;
    }
  });
}

std::string format_number(double value, int decimals) {
  if (std::isnan(value)) return "–";
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", decimals, value);
  const bool zero = buffer[0] == '-' && std::string(buffer).find_first_of("123456789") == std::string::npos;
  return buffer + (zero ? 1 : 0);  // no "-0.00"
}

std::string format_count(double value) {
  std::string digits = format_number(value, 0);
  if (std::isnan(value)) return digits;
  for (int64_t at = int64_t(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3) digits.insert(size_t(at), 1, ',');
  return digits;
}

}  // namespace cambium
