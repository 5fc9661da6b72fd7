// What a table's results say, apart from how it is written: text, Markdown, LaTeX or HTML.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace cambium {

struct ReportTable {
  struct Column {
    std::string title;
    bool number = true;  // else text, aligned on the left
    std::string group;   // a title over neighbouring columns of the same group
  };
  struct Value {
    std::string text;
    bool strong = false;  // the best of its column
    std::string note;     // where it comes from; shown where the format has room
    std::string link;     // HTML: another page beside this one
    Value() = default;
    Value(std::string t, bool s = false, std::string n = {}) : text(std::move(t)), strong(s), note(std::move(n)) {}
    Value(const char* t) : text(t) {}
  };
  std::string title;
  std::vector<Column> columns;
  std::vector<std::vector<Value>> rows;
  std::vector<std::string> notes;  // sentences below
};

struct ReportFigure {
  std::string title, svg, caption;
};

// One input with everything that was written for it.
struct ReportSample {
  std::string input;
  std::vector<std::string> references;
  std::vector<std::pair<std::string, std::string>> outputs;  // method, text
};

struct Report {
  std::string title, subtitle;
  std::vector<std::string> introduction;  // paragraphs
  std::vector<ReportTable> tables;
  std::vector<std::string> missing;  // what is not there yet, and why
  std::vector<ReportFigure> figures;
  std::vector<ReportSample> samples;
  std::vector<std::pair<std::string, std::string>> facts;  // settings, versions, machine, command
};

enum class ReportFormat { text, markdown, latex, html };
ReportFormat report_format_named(const std::string&);

// HTML: one page that needs nothing but itself. The other formats leave figures out.
std::string render(const Report&, ReportFormat);

std::string escape_html(const std::string&);
std::string escape_latex(const std::string&);
std::string escape_markdown(const std::string&);

// "64.21"; "–" for NaN.
std::string format_number(double value, int decimals);
// "460,800"
std::string format_count(double value);

}  // namespace cambium
