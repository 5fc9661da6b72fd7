// Byte-pair encoding with a queue of the pairs that can be merged.
#include "models/tokenizers/bpe.h"

#include <algorithm>
#include <cstdio>
#include <queue>

#include "models/tokenizers/byte_alphabet.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

uint64_t pair_key(int32_t left, int32_t right) { return uint64_t(uint32_t(left)) << 32 | uint32_t(right); }

}  // namespace

Bpe::Bpe(BpeSpec spec)
    : vocabulary_(std::move(spec.tokens)), byte_level_(spec.byte_level), byte_fallback_(spec.byte_fallback),
      fuse_unknown_(spec.fuse_unknown), ignore_merges_(spec.ignore_merges) {
  for (int b = 0; b < 256; ++b) {
    char spelled[8];
    std::snprintf(spelled, sizeof spelled, "<0x%02X>", unsigned(b));
    byte_ids_[size_t(b)] = vocabulary_.find(byte_level_ ? spelling_of_byte(uint8_t(b)) : spelled).value_or(-1);
  }
  if (spec.unknown) {
    unknown_ = vocabulary_.find(*spec.unknown);
    check_input(bool(unknown_), "the unknown token \"", *spec.unknown, "\" is not in the vocabulary");
  }
  add_merges(spec);
}

void Bpe::add_merges(const BpeSpec& spec) {
  merges_.reserve(spec.merges.size());
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto& [left, right] = spec.merges[rank];
    const auto id = [&](const std::string& token) {
      const auto found = vocabulary_.find(token);
      check_input(bool(found), "merge ", rank, ", \"", left, "\" with \"", right, "\", needs the token \"", token,
                  "\", which is not in the vocabulary");
      return *found;
    };
    merges_[pair_key(id(left), id(right))] = {uint32_t(rank), id(left + right)};
  }
}

const Bpe::Merge* Bpe::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

bool Bpe::fall_back(std::string_view character, uint32_t at, std::vector<WordToken>& tokens) const {
  for (const char byte : character)
    if (byte_ids_[uint8_t(byte)] < 0) return false;
  for (const char byte : character) tokens.push_back({byte_ids_[uint8_t(byte)], at, at + 1}), ++at;
  return true;
}

std::vector<WordToken> Bpe::characters(std::string_view word) const {
  std::vector<WordToken> out;
  out.reserve(word.size());
  std::optional<WordToken> pending;  // an unknown token that may grow
  const auto flush = [&] {
    if (pending) out.push_back(*pending);
    pending.reset();
  };
  for (size_t at = 0; at < word.size();) {
    const size_t size = byte_level_ ? 1 : std::max(1u, utf8_char(word, at).size);
    const std::string_view character = word.substr(at, size);
    const uint32_t begin = uint32_t(at), end = uint32_t(at += size);
    const int32_t id = byte_level_ ? byte_ids_[uint8_t(character[0])] : vocabulary_.find(character).value_or(-1);
    if (id >= 0) {
      flush();
      out.push_back({id, begin, end});
    } else if (byte_fallback_ && fall_back(character, begin, out)) {
      continue;  // an unknown token stays pending: the order of the original
    } else if (unknown_) {
      if (pending && fuse_unknown_) {
        pending->end = end;
      } else {
        flush();
        pending = WordToken{*unknown_, begin, end};
      }
    }
  }
  flush();
  return out;
}

// The word as a list of symbols, linked by position.
struct Bpe::Symbols {
  static constexpr uint32_t kNone = ~uint32_t(0);
  struct Symbol {
    WordToken token;
    uint32_t before, after;
    bool gone = false;
  };
  struct Candidate {
    uint32_t rank, left;
    int32_t id;
    bool operator<(const Candidate& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
  };

  const Bpe& bpe;
  std::vector<Symbol> list;
  std::priority_queue<Candidate> queue;  // lowest rank first, leftmost of equals

  Symbols(const Bpe& the_bpe, const std::vector<WordToken>& word) : bpe(the_bpe) {
    list.reserve(word.size());
    for (uint32_t i = 0; i < word.size(); ++i)
      list.push_back({word[i], i ? i - 1 : kNone, i + 1 < word.size() ? i + 1 : kNone});
    std::vector<Candidate> all;
    for (uint32_t i = 0; i + 1 < word.size(); ++i)
      if (const Merge* m = bpe.find_merge(word[i].id, word[i + 1].id)) all.push_back({m->rank, i, m->id});
    queue = std::priority_queue<Candidate>(std::less<Candidate>(), std::move(all));
  }

  void offer(uint32_t left) {
    if (left == kNone || list[left].after == kNone) return;
    if (const Merge* m = bpe.find_merge(list[left].token.id, list[list[left].after].token.id))
      queue.push({m->rank, left, m->id});
  }

  void run() {
    while (!queue.empty()) {
      const Candidate best = queue.top();
      queue.pop();
      Symbol& left = list[best.left];
      if (left.gone || left.after == kNone) continue;
      Symbol& right = list[left.after];
      const Merge* m = bpe.find_merge(left.token.id, right.token.id);
      if (!m || m->id != best.id) continue;  // a neighbour has changed since
      left.token = {best.id, left.token.begin, right.token.end};
      right.gone = true;
      left.after = right.after;
      if (left.after != kNone) list[left.after].before = best.left;
      offer(left.before), offer(best.left);
    }
  }
};

std::optional<int32_t> Bpe::find_word(std::string_view word) const {
  if (!byte_level_) return vocabulary_.find(word);
  std::string spelled;
  for (const char byte : word) spelled += spelling_of_byte(uint8_t(byte));
  return vocabulary_.find(spelled);
}

void Bpe::tokenize(std::string_view word, std::vector<WordToken>& tokens) const {
  CHECK(word.size() < Symbols::kNone, "a word of ", word.size(), " bytes is too long for the tokenizer");
  if (ignore_merges_)
    if (const auto id = find_word(word)) {
      tokens.push_back({*id, 0, uint32_t(word.size())});
      return;
    }
  Symbols symbols(*this, characters(word));
  symbols.run();
  for (const Symbols::Symbol& s : symbols.list)
    if (!s.gone) tokens.push_back(s.token);
}

}  // namespace cambium
