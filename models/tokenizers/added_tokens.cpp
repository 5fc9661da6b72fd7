// A trie of the tokens.
#include "models/tokenizers/added_tokens.h"

#include <algorithm>
#include <map>

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

struct AddedTokenFinder::Node {
  std::map<char, size_t> next;
  size_t token = ~size_t(0);
};

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), trie_(1) {
  for (size_t t = 0; t < tokens_.size(); ++t) {
    if (tokens_[t].content.empty()) continue;
    size_t node = 0;
    for (const char byte : tokens_[t].content) {
      const auto [edge, fresh] = trie_[node].next.emplace(byte, trie_.size());
      node = edge->second;
      if (fresh) trie_.emplace_back();
    }
    trie_[node].token = t;
    starts_[uint8_t(tokens_[t].content[0])] = true;
  }
}

AddedTokenFinder::AddedTokenFinder(AddedTokenFinder&&) noexcept = default;
AddedTokenFinder& AddedTokenFinder::operator=(AddedTokenFinder&&) noexcept = default;
AddedTokenFinder::~AddedTokenFinder() = default;

size_t AddedTokenFinder::longest_at(std::string_view text, size_t at, const AddedToken*& token) const {
  size_t end = 0;
  for (size_t node = 0, i = at;;) {
    if (trie_[node].token < tokens_.size()) token = &tokens_[trie_[node].token], end = i;
    if (i == text.size()) return end;
    const auto edge = trie_[node].next.find(text[i]);
    if (edge == trie_[node].next.end()) return end;
    node = edge->second, ++i;
  }
}

std::vector<AddedTokenFinder::Part> AddedTokenFinder::split(std::string_view text) const {
  std::vector<Part> parts;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const AddedToken* token = nullptr;
    const size_t found = starts_[uint8_t(text[at])] ? longest_at(text, at, token) : 0;
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
