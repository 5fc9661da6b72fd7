// Text that was changed on its way to tokens, each byte with the bytes of the original it came from.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "models/tokenizers/tokenizer.h"
#include "models/tokenizers/utf8.h"

namespace cambium {

class AlignedText {
 public:
  // How long a text may become, so that rules of a damaged file (each a replaced by two, forty times) cannot fill the
  // memory. NFKC needs 11 times the original.
  struct Limit {
    size_t bytes;
    static Limit for_original(size_t bytes) { return {(size_t(1) << 20) + 64 * bytes}; }
  };

  // `original` begins at byte `offset` of the caller's text.
  AlignedText(std::string_view original, size_t offset)
      : text_(original), limit_(Limit::for_original(original.size())), offset_(offset) {}
  // Nothing yet; to be built with append, which throws InputError where the limit is exceeded.
  explicit AlignedText(Limit limit) : limit_(limit), aligned_(true) {}
  Limit limit() const { return limit_; }

  const std::string& text() const { return text_; }
  size_t size() const { return text_.size(); }
  bool empty() const { return text_.empty(); }

  // Where bytes [begin, end), begin < end, came from.
  ByteRange origin(size_t begin, size_t end) const {
    if (!aligned_) return {offset_ + begin, offset_ + end};
    return {origins_[begin].begin, origins_[end - 1].end};
  }

  // Where the character at `at` came from. What is put before a text has its first character's place.
  ByteRange origin_of_character(size_t at) const;

  // Adds bytes that all came from `origin`.
  void append(std::string_view bytes, ByteRange origin) {
    check_room(bytes.size());
    text_ += bytes;
    origins_.insert(origins_.end(), bytes.size(), origin);
  }
  // Adds bytes [begin, end) of another text, each with its own origin.
  void append(const AlignedText& other, size_t begin, size_t end) {
    check_room(end - begin);
    text_.append(other.text_, begin, end - begin);
    for (size_t i = begin; i < end; ++i) origins_.push_back(other.origin(i, i + 1));
  }

  // Bytes [begin, end) as a text of their own.
  AlignedText slice(size_t begin, size_t end) const {
    if (!aligned_) return AlignedText(std::string_view(text_).substr(begin, end - begin), offset_ + begin);
    AlignedText out(limit_);
    out.append(*this, begin, end);
    return out;
  }

  bool is_original() const { return !aligned_; }

 private:
  void check_room(size_t bytes) const {
    check_input(bytes <= limit_.bytes - std::min(limit_.bytes, text_.size()),
                "the tokenizer's normalizers and pre-tokenizers make more than ", limit_.bytes, " bytes of one text");
  }

  std::string text_;
  std::vector<ByteRange> origins_;  // of each byte, if aligned_
  Limit limit_;
  size_t offset_ = 0;
  bool aligned_ = false;
};

inline ByteRange AlignedText::origin_of_character(size_t at) const {
  return origin(at, at + utf8_char(text_, at).size);
}

}  // namespace cambium
