// Longest match first.
#include "models/tokenizers/wordpiece.h"

#include <algorithm>

namespace cambium {

WordPiece::WordPiece(WordPieceSpec spec) : vocabulary_(std::move(spec.tokens)), longest_word_(spec.longest_word) {
  const auto unknown = vocabulary_.find(spec.unknown);
  check_input(bool(unknown), "the unknown token \"", spec.unknown, "\" is not in the vocabulary");
  unknown_ = *unknown;
  std::vector<Prefixes::Entry> first, later;
  for (int32_t id = 0; id < int32_t(vocabulary_.size()); ++id) {
    std::string_view token = vocabulary_.token(id);
    first.push_back({token, id});
    if (!token.starts_with(spec.prefix)) continue;
    token.remove_prefix(spec.prefix.size());
    later.push_back({token, id});
  }
  first_ = Prefixes(std::move(first)), later_ = Prefixes(std::move(later));
}

void WordPiece::tokenize(std::string_view word, std::vector<WordToken>& tokens) const {
  const auto within = [](char byte) { return (uint8_t(byte) & 0xC0) == 0x80; };  // of a character
  const size_t before = tokens.size(),
               characters = word.size() - size_t(std::count_if(word.begin(), word.end(), within));
  bool known = characters <= longest_word_;
  for (size_t begin = 0; known && begin < word.size();) {
    WordToken longest{-1, uint32_t(begin), uint32_t(begin)};
    (begin ? later_ : first_).for_each(word.substr(begin), [&](int32_t id, size_t length) {
      longest = {id, uint32_t(begin), uint32_t(begin + length)};
    });
    known = longest.id >= 0;
    if (known) tokens.push_back(longest), begin = longest.end;
  }
  if (known) return;
  tokens.resize(before);
  tokens.push_back({unknown_, 0, uint32_t(word.size())});
}

}  // namespace cambium
