// Longest match first.
#include "models/tokenizers/wordpiece.h"

#include <algorithm>

namespace cambium {

WordPiece::WordPiece(WordPieceSpec spec)
    : vocabulary_(std::move(spec.tokens)), prefix_(std::move(spec.prefix)), longest_word_(spec.longest_word) {
  const auto unknown = vocabulary_.find(spec.unknown);
  check_input(bool(unknown), "the unknown token \"", spec.unknown, "\" is not in the vocabulary");
  unknown_ = *unknown;
  for (int32_t id = 0; id < int32_t(vocabulary_.size()); ++id)
    longest_token_ = std::max(longest_token_, vocabulary_.token(id).size());
}

void WordPiece::tokenize(std::string_view word, std::vector<WordToken>& tokens) const {
  const auto within = [](char byte) { return (uint8_t(byte) & 0xC0) == 0x80; };  // of a character
  const size_t before = tokens.size(),
               characters = word.size() - size_t(std::count_if(word.begin(), word.end(), within));
  bool known = characters <= longest_word_;
  std::string token;
  for (size_t begin = 0; known && begin < word.size();) {
    known = false;
    const size_t longest = begin ? longest_token_ - std::min(longest_token_, prefix_.size()) : longest_token_;
    for (size_t end = std::min(word.size(), begin + longest); end > begin && !known; --end) {
      if (end < word.size() && within(word[end])) continue;
      token.assign(begin ? prefix_ : "").append(word.substr(begin, end - begin));
      if (const auto id = vocabulary_.find(token)) {
        tokens.push_back({*id, uint32_t(begin), uint32_t(end)});
        begin = end, known = true;
        break;
      }
    }
  }
  if (known) return;
  tokens.resize(before);
  tokens.push_back({unknown_, 0, uint32_t(word.size())});
}

}  // namespace cambium
