// A compiled regular expression (PCRE2), for the tokenizers that are defined by patterns.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace cambium {

class Regex {
 public:
  // Flags may be added. Without `unicode` a character is a byte; with it the text must be valid UTF-8. `anchored`
  // patterns match only where the search starts.
  // `properties`: \w, \d and \b follow Unicode too.
  enum Flag { bytes = 0, unicode = 1, caseless = 2, anchored = 4, properties = 8 };
  // A pattern that does not compile is an Error.
  explicit Regex(std::string_view pattern, int flags = bytes);

  // Calls f(begin, end) for every match that is not empty, from left to right.
  void for_each_match(std::string_view text, const std::function<void(size_t, size_t)>& f) const;

  // Every match from left to right replaced by `replacement` ($1, $2 stand for groups).
  std::string replace_all(const std::string& text, const char* replacement) const;

  // An anchored pattern's match at byte `at`: the ends of the whole and of group 1. `end` is 0 if there is none.
  struct Ends {
    size_t end = 0, group = 0;
  };
  Ends match_at(std::string_view text, size_t at) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace cambium
