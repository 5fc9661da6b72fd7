// WebNLG's XML, and DART's test file, which has the same form. Only what these files use of XML is read: elements,
// attributes, text, the five entities and numbered characters, comments and declarations (which are skipped).
#include <algorithm>
#include <charconv>

#include "core/csv.h"
#include "core/files.h"
#include "core/lines.h"
#include "experiments/lib/tasks/rows.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

// What comes next: the start of an element, the end of one, or text between them.
struct XmlPart {
  enum Kind { start, end, text, nothing } kind = nothing;
  std::string name;  // of the element; of text: the text itself
  std::map<std::string, std::string> attributes;
  bool closed = false;  // <a/>
};

class XmlReader {
 public:
  XmlReader(std::string_view source, std::string path) : source_(source), path_(std::move(path)) {}

  int64_t line() const {
    line_ += std::count(source_.begin() + int64_t(counted_), source_.begin() + int64_t(at_), '\n');
    counted_ = at_;
    return line_;
  }

  XmlPart next() {
    while (at_ < source_.size()) {
      if (source_[at_] != '<') {
        const size_t end = std::min(source_.find('<', at_), source_.size());
        const std::string_view raw = source_.substr(at_, end - at_);
        XmlPart part{XmlPart::text, decoded(raw)};
        at_ = end;
        return part;
      }
      if (skipped("<?", "?>") || skipped("<!--", "-->")) continue;
      check_input(source_.substr(at_, 2) != "<!", path_, ":", line(), ": a document type or CDATA, which is not read");
      return tag();
    }
    return {};
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw InputError(cambium::text(path_, ":", line(), ": ", why));
  }

 private:
  bool skipped(std::string_view open, std::string_view close) {
    if (source_.substr(at_, open.size()) != open) return false;
    const size_t end = source_.find(close, at_ + open.size());
    if (end == source_.npos) fail("\"" + std::string(open) + "\" is never closed");
    at_ = end + close.size();
    return true;
  }

  XmlPart tag() {
    const size_t end = closing(at_);
    std::string_view inside = source_.substr(at_ + 1, end - at_ - 1);
    XmlPart part{XmlPart::start, ""};
    if (inside.starts_with('/')) part.kind = XmlPart::end, inside.remove_prefix(1);
    if (inside.ends_with('/')) part.closed = true, inside.remove_suffix(1);
    size_t name = 0;
    while (name < inside.size() && !is_blank(inside[name])) ++name;
    part.name = inside.substr(0, name);
    if (part.name.empty()) fail("a tag without a name");
    read_attributes(inside.substr(name), part);
    at_ = end + 1;
    return part;
  }

  // The > that ends the tag; those inside quotes do not.
  size_t closing(size_t from) const {
    char quote = 0;
    for (size_t i = from; i < source_.size(); ++i) {
      const char c = source_[i];
      if (quote) quote = c == quote ? 0 : quote;
      else if (c == '"' || c == '\'') quote = c;
      else if (c == '>') return i;
    }
    fail("a tag that is never closed");
  }

  void read_attributes(std::string_view rest, XmlPart& part) const {
    while (true) {
      while (!rest.empty() && is_blank(rest.front())) rest.remove_prefix(1);
      if (rest.empty()) return;
      const size_t equals = rest.find('=');
      if (equals == rest.npos || equals + 1 >= rest.size()) fail("an attribute without a value");
      const char quote = rest[equals + 1];
      const size_t end = rest.find(quote, equals + 2);
      if ((quote != '"' && quote != '\'') || end == rest.npos) fail("an attribute's value without quotes");
      part.attributes[std::string(rest.substr(0, equals))] = decoded(rest.substr(equals + 2, end - equals - 2));
      rest.remove_prefix(end + 1);
    }
  }

  std::string decoded(std::string_view raw) const {
    std::string out;
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '&') {
        out += raw[i];
        continue;
      }
      const size_t end = raw.find(';', i);
      if (end == raw.npos) fail("an & without its ;");
      out += entity(raw.substr(i + 1, end - i - 1));
      i = end;
    }
    return out;
  }

  std::string entity(std::string_view name) const {
    for (const auto& [known, character] :
         {std::pair("amp", "&"), {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"apos", "'"}})
      if (name == known) return character;
    uint32_t code = 0;
    const bool hex = name.starts_with("#x");
    if (!name.starts_with('#')) fail("an unknown entity &" + std::string(name) + ";");
    const std::string_view digits = name.substr(hex ? 2 : 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
    if (error != std::errc() || end != digits.data() + digits.size() || code == 0 || code > 0x10FFFF ||
        (code >= 0xD800 && code < 0xE000))
      fail("an unknown character &" + std::string(name) + ";");
    std::string out;
    append_utf8(out, char32_t(code));
    return out;
  }

  static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

  std::string_view source_;
  std::string path_;
  size_t at_ = 0;
  mutable size_t counted_ = 0;  // line ends up to here are in line_
  mutable int64_t line_ = 1;
};

void read_file(const std::string& path, const RowSink& sink) {
  const std::string contents = read_data_file(path);
  XmlReader xml(without_byte_order_mark(contents), path);
  std::vector<std::string> open;
  DataRow row;
  bool good = false;
  std::string words;
  for (XmlPart part = xml.next(); part.kind != XmlPart::nothing; part = xml.next()) {
    if (part.kind == XmlPart::text) {
      words += part.name;
      continue;
    }
    if (part.kind == XmlPart::start) {
      words.clear();
      if (part.name == "entry") {
        row = {.fields = {{"triples", {}}, {"lex", {}}, {"good", {}}}, .where = text(path, ":", xml.line())};
        row.fields["category"] = {part.attributes["category"]};
      }
      good = part.name == "lex" && part.attributes["comment"] == "good";
      if (!part.closed) open.push_back(part.name);
      if (open.size() > 64) xml.fail("elements inside each other, more than 64 deep");
      continue;
    }
    if (open.empty() || open.back() != part.name) xml.fail("</" + part.name + "> closes what is not open");
    open.pop_back();
    if (part.name == "mtriple") row.fields["triples"].push_back(trimmed(words));
    if (part.name == "lex") {
      row.fields["lex"].push_back(trimmed(words));
      if (good) row.fields["good"].push_back(trimmed(words));
    }
    if (part.name == "entry") sink(std::move(row)), row = {};
  }
  if (!open.empty()) xml.fail("<" + open.back() + "> is never closed");
}

}  // namespace

// A folder has a folder for each number of triples: train/1triples/*.xml.
void read_webnlg_rows(const std::string& path, const RowSink& sink) {
  if (!is_directory(path)) return read_file(path, sink);
  const auto read_all = [&](const std::string& folder) {
    for (const std::string& name : list_directory(folder))
      if (name.ends_with(".xml") || name.ends_with(".xml.xz")) read_file(folder + "/" + name, sink);
  };
  read_all(path);
  for (const std::string& name : list_directory(path))
    if (is_directory(path + "/" + name)) read_all(path + "/" + name);
}

}  // namespace cambium
