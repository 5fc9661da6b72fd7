// A text with places for a row's fields: "sentence1: {sentence1} sentence2: {sentence2|trim}".
#pragma once

#include <string>
#include <vector>

#include "experiments/lib/tasks/filters.h"
#include "experiments/lib/tasks/row.h"

namespace cambium {

// {name} is a field, all its values joined with blanks; {name|filter|filter} changes each value first (filters.h);
// {mask} is the place that a label's word fills; {{ and }} are braces.
class Template {
 public:
  // One piece of a filled template.
  struct Piece {
    std::string text;
    bool field = false;  // may be cut where a model's positions do not suffice
    bool mask = false;
  };

  Template() = default;
  // Throws InputError for open braces and unknown filters.
  explicit Template(const std::string& source);

  // {mask} is an error here: pieces() has it.
  std::string fill(const DataRow&) const;
  std::vector<Piece> pieces(const DataRow&) const;
  // The names of its fields, in order; a name may come several times.
  std::vector<std::string> fields() const;
  // How often {mask} stands in it.
  int masks() const;
  const std::string& source() const { return source_; }

 private:
  struct Part {
    std::string literal, field;  // one of both
    bool mask = false;
    std::vector<TextFilter> filters;
  };
  static Part place(const std::string& words);

  std::string source_;
  std::vector<Part> parts_;
};

}  // namespace cambium
