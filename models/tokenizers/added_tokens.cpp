// The longest token at each place of a text.
#include "models/tokenizers/added_tokens.h"

#include <algorithm>

#include "models/tokenizers/characters.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

// The character that ends at `end`; `begin` becomes its first byte. `text` is UTF-8.
char32_t character_before(std::string_view text, size_t end, size_t& begin) {
  begin = end - 1;
  while (begin > 0 && (uint8_t(text[begin]) & 0xC0) == 0x80) --begin;
  return utf8_char(text, begin).code;
}

bool ends_with_word(std::string_view text) {
  size_t begin;
  return !text.empty() && is_word_character(character_before(text, text.size(), begin));
}

bool starts_with_word(std::string_view text) { return !text.empty() && is_word_character(utf8_char(text, 0).code); }

size_t blanks_begin(std::string_view text, size_t end) {
  for (size_t begin; end > 0 && is_blank(character_before(text, end, begin)); end = begin) continue;
  return end;
}

size_t blanks_end(std::string_view text, size_t at) {
  for (Utf8Char c; (c = utf8_char(text, at)).size && is_blank(c.code); at += c.size) continue;
  return at;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::vector<Prefixes::Entry> entries;
  for (size_t t = 0; t < tokens_.size(); ++t) entries.push_back({tokens_[t].content, int32_t(t)});
  prefixes_ = Prefixes(std::move(entries));
}

std::vector<AddedTokenFinder::Part> AddedTokenFinder::split(std::string_view text) const {
  std::vector<Part> parts;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const AddedToken* token = nullptr;
    size_t found = 0;
    prefixes_.for_each(text.substr(at),
                       [&](int32_t t, size_t length) { token = &tokens_[size_t(t)], found = at + length; });
    if (!found) {
      ++at;
      continue;
    }
    size_t begin = at, end = found;
    at = found;
    if (token->single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) continue;
    if (token->lstrip) begin = std::max(done, blanks_begin(text, begin));
    if (token->rstrip) end = blanks_end(text, end);
    if (end <= done) continue;
    begin = std::max(begin, done);
    if (begin > done) parts.push_back({{done, begin}, -1});
    parts.push_back({{begin, end}, token->id});
    done = end;
  }
  if (done < text.size()) parts.push_back({{done, text.size()}, -1});
  return parts;
}

}  // namespace cambium
