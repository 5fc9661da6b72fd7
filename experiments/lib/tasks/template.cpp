#include "experiments/lib/tasks/template.h"

#include <algorithm>

#include "core/error.h"

namespace cambium {

const std::vector<std::string>& DataRow::values(const std::string& name) const {
  const auto found = fields.find(name);
  check_input(found != fields.end(), where, ": there is no field \"", name, "\"");
  return found->second;
}

std::string DataRow::joined(const std::string& name, const std::string& between) const {
  std::string all;
  for (const std::string& value : values(name)) all += (all.empty() ? "" : between) + value;
  return all;
}

Template::Part Template::place(const std::string& words) {
  Part part;
  size_t at = words.find('|');
  part.field = words.substr(0, at);
  check_input(!part.field.empty(), "a template has a place without a name: {", words, "}");
  if (part.field == "mask") part.field.clear(), part.mask = true;
  while (at != words.npos) {
    const size_t end = words.find('|', at + 1);
    const std::string name = words.substr(at + 1, end == words.npos ? end : end - at - 1);
    const TextFilter filter = text_filter(name);
    check_input(filter && !part.mask, "a template has the filter \"", name, "\" in {", words, "}; there are ",
                listed(text_filter_names()));
    part.filters.push_back(filter);
    at = end;
  }
  return part;
}

Template::Template(const std::string& source) : source_(source) {
  std::string literal;
  const auto flush = [&] {
    if (!literal.empty()) parts_.push_back({.literal = literal});
    literal.clear();
  };
  for (size_t i = 0; i < source.size(); ++i) {
    const char c = source[i];
    if ((c == '{' || c == '}') && i + 1 < source.size() && source[i + 1] == c) {
      literal += c, ++i;
      continue;
    }
    check_input(c != '}', "the template \"", source, "\" has a } without a {; write }} for a brace");
    if (c != '{') {
      literal += c;
      continue;
    }
    const size_t end = source.find('}', i);
    check_input(end != source.npos, "the template \"", source, "\" has a { without a }; write {{ for a brace");
    flush();
    parts_.push_back(place(source.substr(i + 1, end - i - 1)));
    i = end;
  }
  flush();
}

std::vector<Template::Piece> Template::pieces(const DataRow& row) const {
  std::vector<Piece> all;
  for (const Part& part : parts_) {
    Piece piece{part.literal, !part.field.empty(), part.mask};
    if (piece.field) {
      const auto& values = row.values(part.field);
      for (size_t i = 0; i < values.size(); ++i) {
        std::string value = values[i];
        for (const TextFilter filter : part.filters) value = filter(value);
        piece.text += (i ? " " : "") + value;
      }
    }
    all.push_back(std::move(piece));
  }
  return all;
}

std::string Template::fill(const DataRow& row) const {
  std::string all;
  for (const Piece& piece : pieces(row)) {
    CHECK(!piece.mask, "the template \"", source_, "\" has a mask");
    all += piece.text;
  }
  return all;
}

std::vector<std::string> Template::fields() const {
  std::vector<std::string> names;
  for (const Part& part : parts_)
    if (!part.field.empty()) names.push_back(part.field);
  return names;
}

int Template::masks() const {
  return int(std::count_if(parts_.begin(), parts_.end(), [](const Part& p) { return p.mask; }));
}

}  // namespace cambium
