// The stages one after the other.
#include "models/tokenizers/pipeline.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

// Words and their tokens, as many as are worth their memory.
class WordCache {
 public:
  const std::vector<WordToken>* find(const std::string& word) const {
    const auto found = words_.find(word);
    return found == words_.end() ? nullptr : &found->second;
  }
  void store(const std::string& word, std::vector<WordToken> tokens) {
    if (words_.size() < kWords) words_.emplace(word, std::move(tokens));
  }
  static bool takes(std::string_view word) { return word.size() <= kLongest; }

 private:
  static constexpr size_t kWords = 1 << 16, kLongest = 64;
  std::unordered_map<std::string, std::vector<WordToken>> words_;
};

// `text` with U+FFFD for each byte that is no UTF-8.
AlignedText repaired(std::string_view text) {
  AlignedText out(AlignedText::Limit::for_original(text.size()));
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_char(text, at);
    const size_t size = c.size ? c.size : 1;
    for (size_t i = 0; c.size && i < size; ++i) out.append(text.substr(at + i, 1), {at + i, at + i + 1});
    if (!c.size) out.append(kReplacement, {at, at + 1});
    at += size;
  }
  return out;
}

// The bad bytes again in place of those U+FFFD that stand for one, if they have a token.
void restore_bytes(Pieces& pieces, std::string_view original, const Bpe& model) {
  Pieces out{AlignedText(pieces.text.limit()), {}};
  for (const ByteRange word : pieces.words) {
    const size_t begin = out.text.size();
    for (size_t at = word.begin; at < word.end;) {
      const Utf8Char c = utf8_char(pieces.text.text(), at);
      const ByteRange origin = pieces.text.origin(at, at + c.size);
      if (c.code == 0xFFFD && origin.end - origin.begin == 1 && model.has_byte(uint8_t(original[origin.begin])))
        out.text.append(original.substr(origin.begin, 1), origin);
      else out.text.append(pieces.text, at, at + c.size);
      at += c.size;
    }
    out.words.push_back({begin, out.text.size()});
  }
  pieces = std::move(out);
}

class PipelineTokenizer final : public Tokenizer {
 public:
  explicit PipelineTokenizer(Pipeline pipeline)
      : p_(std::move(pipeline)),
        vocabulary_(std::visit([](const auto& m) -> const Vocabulary& { return m.vocabulary(); }, p_.model)),
        raw_(number_added_tokens()), normalized_(normalized_tokens()) {}

  std::vector<int32_t> encode(std::string_view text, bool special) const override {
    return encode_with_offsets(text, special).ids;
  }

  Encoding encode_with_offsets(std::string_view text, bool special) const override {
    Encoding out;
    const auto put_around = [&](const std::vector<int32_t>& ids) {
      out.ids.insert(out.ids.end(), ids.begin(), ids.end());
      out.spans.resize(out.ids.size());
    };
    if (special) put_around(p_.prefix);
    // Only one thread at a time has the cache; the others find the same tokens without it.
    const std::unique_lock lock(cache_mutex_, std::try_to_lock);
    WordCache* const cache = lock.owns_lock() ? &cache_ : nullptr;
    const bool valid = is_utf8(text);
    if (valid) {
      for (const AddedTokenFinder::Part& part : raw_.split(text)) {
        if (part.id >= 0) put(out, part.id, part.range);
        else
          encode_part(AlignedText(text.substr(part.range.begin, part.range.end - part.range.begin), part.range.begin),
                      text, valid, cache, out);
      }
    } else {
      const AlignedText whole = repaired(text);
      for (const AddedTokenFinder::Part& part : raw_.split(whole.text())) {
        if (part.id >= 0) put(out, part.id, whole.origin(part.range.begin, part.range.end));
        else encode_part(whole.slice(part.range.begin, part.range.end), text, valid, cache, out);
      }
    }
    if (special) put_around(p_.suffix);
    return out;
  }

  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::vector<std::string> tokens;
    tokens.reserve(ids.size());
    for (const int32_t id : ids) {
      CHECK(id >= 0, "the token id ", id, " is negative");
      if (id < vocabulary_size() && !(skip_special && is_special(id))) tokens.push_back(token(id));
    }
    const size_t most = longest_decoded(tokens);
    for (const Decoder& decode : p_.decoders) {
      decode(tokens);
      check_input(decoded_size(tokens) <= most, "the tokenizer's decoders make more than ", most, " bytes of ",
                  ids.size(), " tokens");
    }
    std::string text;
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (p_.decoders.empty() && i) text += ' ';
      text += tokens[i];
    }
    return p_.clean_up ? cleaned_up(std::move(text)) : text;
  }

  int64_t vocabulary_size() const override { return int64_t(vocabulary_.size() + beyond_.size()); }

  std::optional<int32_t> find_token(std::string_view token) const override {
    const auto added = added_.find(token);
    return added != added_.end() ? std::optional(added->second) : vocabulary_.find(token);
  }
  const std::string& token(int32_t id) const override {
    const size_t i = size_t(id);
    return i < vocabulary_.size() ? vocabulary_.token(id) : beyond_[i - vocabulary_.size()];
  }
  std::optional<PairFraming> pair_framing() const override { return p_.pair; }
  bool is_special(int32_t id) const override { return std::binary_search(special_.begin(), special_.end(), id); }

 private:
  // Gives the added tokens' ids a meaning; returns those that are looked for in texts as they are.
  std::vector<AddedToken> number_added_tokens() {
    std::vector<AddedToken> sorted = p_.added, raw;
    std::sort(sorted.begin(), sorted.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
    for (const AddedToken& t : p_.added) added_.emplace(t.content, t.id);
    for (const AddedToken& t : sorted) {
      const int64_t size = int64_t(vocabulary_.size());
      if (t.id >= size) {
        check_input(t.id == vocabulary_size(), "the added token \"", t.content, "\" has the id ", t.id,
                    "; the next free id is ", vocabulary_size());
        beyond_.push_back(t.content);
      } else {
        check_input(t.id >= 0 && vocabulary_.token(t.id) == t.content, "the added token \"", t.content,
                    "\" has the id ", t.id, ", which is \"", t.id >= 0 ? vocabulary_.token(t.id) : "",
                    "\" in the vocabulary");
      }
      if (t.special) special_.push_back(t.id);
      if (!t.normalized) raw.push_back(t);
    }
    return raw;
  }

  std::vector<AddedToken> normalized_tokens() const {
    std::vector<AddedToken> tokens;
    for (AddedToken t : p_.added) {
      if (!t.normalized) continue;
      t.content = normalize(AlignedText(t.content, 0)).text();
      tokens.push_back(std::move(t));
    }
    return tokens;
  }

  AlignedText normalize(AlignedText text) const {
    for (const Normalizer& f : p_.normalizers) text = f(std::move(text));
    return text;
  }

  void put(Encoding& out, int32_t id, ByteRange span) const {
    out.ids.push_back(id);
    out.spans.push_back(span);
  }

  // Text between added tokens. `original` is all of it.
  void encode_part(AlignedText part, std::string_view original, bool valid, WordCache* cache, Encoding& out) const {
    const AlignedText text = normalize(std::move(part));
    for (const AddedTokenFinder::Part& inner : normalized_.split(text.text())) {
      if (inner.id >= 0) {
        put(out, inner.id, text.origin(inner.range.begin, inner.range.end));
        continue;
      }
      Pieces pieces{text.slice(inner.range.begin, inner.range.end), {{0, inner.range.end - inner.range.begin}}};
      for (const PreTokenizer& f : p_.pre_tokenizers) f(pieces);
      if (p_.bytes && !valid) restore_bytes(pieces, original, std::get<Bpe>(p_.model));
      for (const ByteRange word : pieces.words) encode_word(pieces.text, word, original, cache, out);
    }
  }

  void encode_word(const AlignedText& text, ByteRange range, std::string_view original, WordCache* cache,
                   Encoding& out) const {
    const std::string word = text.text().substr(range.begin, range.end - range.begin);
    std::vector<WordToken> made;
    const std::vector<WordToken>* tokens = cache ? cache->find(word) : nullptr;
    if (!tokens) {
      std::visit([&](const auto& model) { model.tokenize(word, made); }, p_.model);
      tokens = &made;
    }
    for (const WordToken& t : *tokens) {
      ByteRange span = text.origin(range.begin + t.begin, range.begin + t.end);
      if (p_.trim_offsets) {
        while (span.begin < span.end && original[span.begin] == ' ') ++span.begin;
        while (span.end > span.begin && original[span.end - 1] == ' ') --span.end;
      }
      put(out, t.id, span);
    }
    if (tokens == &made && cache && WordCache::takes(word)) cache->store(word, std::move(made));
  }

  const Pipeline p_;
  const Vocabulary& vocabulary_;     // the model's
  std::vector<std::string> beyond_;  // tokens with the ids that follow
  std::unordered_map<std::string_view, int32_t> added_;
  std::vector<int32_t> special_;  // sorted
  const AddedTokenFinder raw_, normalized_;
  mutable std::mutex cache_mutex_;
  mutable WordCache cache_;
};

}  // namespace

std::unique_ptr<const Tokenizer> make_tokenizer(Pipeline pipeline) {
  return std::make_unique<PipelineTokenizer>(std::move(pipeline));
}

}  // namespace cambium
