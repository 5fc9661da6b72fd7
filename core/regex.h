// A compiled regular expression (PCRE2), for the tokenizers that are defined by patterns.
//
// Patterns may come from files of others. The work for one text is bounded: what all its matches may backtrack together
// grows with the text's length, and a pattern that needs more is an Error. Sound patterns need a hundredth of it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace cambium {

class Regex {
 public:
  // Flags may be added. Without `unicode` a character is a byte; with it a text that is no UTF-8 is an Error.
  // `anchored` patterns match only where the search starts. `properties`: \w, \d and \b follow Unicode too.
  enum Flag { bytes = 0, unicode = 1, caseless = 2, anchored = 4, properties = 8 };
  // A pattern that does not compile is an Error, and so is \C, a byte of a character.
  explicit Regex(std::string_view pattern, int flags = bytes);

  // Calls f(begin, end) for every match that is not empty, from left to right. Matches that overlap, which only \K in
  // a look-around makes, are an Error.
  void for_each_match(std::string_view text, const std::function<void(size_t, size_t)>& f) const;

  // Every match from left to right replaced by `replacement` ($1, $2 stand for groups).
  std::string replace_all(const std::string& text, const char* replacement) const;

  // An anchored pattern's match at byte `at`: the ends of the whole and of group 1. `end` is 0 if there is none. The
  // text is not checked again: many calls look at the same one.
  struct Ends {
    size_t end = 0, group = 0;
  };
  Ends match_at(std::string_view text, size_t at) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace cambium
