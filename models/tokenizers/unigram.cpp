// Viterbi's algorithm over the bytes of a word.
#include "models/tokenizers/unigram.h"

#include <algorithm>
#include <cmath>

#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

constexpr double kUnknownPenalty = 10;  // below the worst token, as in SentencePiece

}  // namespace

Unigram::Unigram(UnigramSpec spec)
    : vocabulary_(std::move(spec.tokens)), scores_(std::move(spec.scores)), unknown_(spec.unknown) {
  check_input(scores_.size() == vocabulary_.size(), "there are ", vocabulary_.size(), " tokens, but ", scores_.size(),
              " scores");
  check_input(unknown_ >= 0 && size_t(unknown_) < scores_.size(), "the unknown token's id ", unknown_,
              " is outside the vocabulary of ", scores_.size());
  double worst = scores_[0];
  std::vector<Prefixes::Entry> entries;
  for (size_t id = 0; id < scores_.size(); ++id) {
    check_input(std::isfinite(scores_[id]), "the score of the token \"", vocabulary_.token(int32_t(id)), "\" is ",
                scores_[id]);
    worst = std::min(worst, scores_[id]);
    entries.push_back({vocabulary_.token(int32_t(id)), int32_t(id)});
  }
  unknown_score_ = worst - kUnknownPenalty;
  prefixes_ = Prefixes(std::move(entries));
}

// The best cut of the bytes before an end: its score, and its last token.
struct Unigram::Best {
  double score = 0;
  size_t begin = 0;
  int32_t id = -1;  // -1: no cut ends here
};

void Unigram::tokenize(std::string_view word, std::vector<WordToken>& tokens) const {
  CHECK(word.size() <= UINT32_MAX, "a word of ", word.size(), " bytes is too long for the tokenizer");
  std::vector<Best> ends(word.size() + 1);
  for (size_t begin = 0; begin < word.size();) {
    const size_t character = std::max(1u, utf8_char(word, begin).size);
    bool single = false;
    const auto offer = [&](int32_t id, size_t length, double token_score) {
      Best& end = ends[begin + length];
      const double score = token_score + ends[begin].score;
      if (end.id < 0 || score > end.score) end = {score, begin, id};
      single |= length == character;
    };
    prefixes_.for_each(word.substr(begin), [&](int32_t id, size_t length) { offer(id, length, scores_[size_t(id)]); });
    if (!single) offer(unknown_, character, unknown_score_);
    begin += character;
  }
  const size_t before = tokens.size();
  for (size_t end = word.size(); end > 0; end = ends[end].begin) {
    const Best& best = ends[end];
    if (best.id == unknown_ && tokens.size() > before && tokens.back().id == unknown_)
      tokens.back().begin = uint32_t(best.begin);
    else tokens.push_back({best.id, uint32_t(best.begin), uint32_t(end)});
  }
  std::reverse(tokens.begin() + ptrdiff_t(before), tokens.end());
}

}  // namespace cambium
