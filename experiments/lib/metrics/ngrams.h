// Words as numbers and counts of n-grams, shared by BLEU, NIST, CIDEr and ROUGE.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/random.h"

namespace cambium::metrics {

using Tokens = std::vector<int>;

// Numbers for words, from 0 in the order of their first appearance.
class Vocabulary {
 public:
  int id(std::string_view word) {
    const int known = find(word);
    return known >= 0 ? known : ids_.emplace(word, int(ids_.size())).first->second;
  }
  int find(std::string_view word) const {  // -1 if it has no number
    const auto found = ids_.find(word);
    return found == ids_.end() ? -1 : found->second;
  }
  template <class Words>
  Tokens ids(const Words& words) {
    Tokens out;
    out.reserve(words.size());
    for (const auto& word : words) out.push_back(id(word));
    return out;
  }
  size_t size() const { return ids_.size(); }

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::unordered_map<std::string, int, Hash, std::equal_to<>> ids_;
};

// Up to five words; the empty n-gram has order 0.
struct Ngram {
  static constexpr int kMaxOrder = 5;
  int order = 0;
  std::array<int, kMaxOrder> words{};

  Ngram() = default;
  Ngram(const int* first, int n) : order(n) { std::copy(first, first + n, words.begin()); }
  Ngram without_last() const { return Ngram(words.data(), order - 1); }
  bool operator==(const Ngram&) const = default;
};

struct NgramHash {
  size_t operator()(const Ngram& ngram) const {
    uint64_t hash = uint64_t(ngram.order);
    for (int i = 0; i < ngram.order; ++i) hash = (hash ^ uint32_t(ngram.words[size_t(i)])) * 0x9e3779b97f4a7c15u;
    return size_t(mix_bits(hash));
  }
};

using NgramCounts = std::unordered_map<Ngram, int64_t, NgramHash>;

// Adds the n-grams of every order from 1 to `max_order`.
inline void add_ngrams(const Tokens& tokens, int max_order, NgramCounts& counts) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    const int longest = int(std::min<size_t>(size_t(max_order), tokens.size() - i));
    for (int n = 1; n <= longest; ++n) ++counts[Ngram(&tokens[i], n)];
  }
}

inline NgramCounts count_ngrams(const Tokens& tokens, int max_order) {
  NgramCounts counts;
  counts.reserve(tokens.size() * size_t(max_order));
  add_ngrams(tokens, max_order, counts);
  return counts;
}

// For each n-gram the largest of its counts in the references: what a hypothesis may match (BLEU, NIST).
inline NgramCounts largest_counts(const std::vector<Tokens>& references, int max_order) {
  NgramCounts largest;
  for (const Tokens& reference : references)
    for (const auto& [ngram, count] : count_ngrams(reference, max_order)) {
      int64_t& best = largest[ngram];
      best = std::max(best, count);
    }
  return largest;
}

}  // namespace cambium::metrics
