// The table: 4 bytes, the trie's size; the trie, a double array of 32-bit units (Darts-clone); strings that end with
// NUL.
//
// It is followed as the tokenizers library does it, which differs from SentencePiece: a grapheme of at most 5 bytes
// that begins with an entry becomes that entry's string whole; in longer ones each character is looked up by itself.
#include "models/tokenizers/charsmap.h"

#include <unicode/brkiter.h>
#include <unicode/utext.h>

#include <cstring>
#include <memory>
#include <optional>

#include "core/error.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

class Charsmap {
 public:
  explicit Charsmap(const std::string& map) {
    uint32_t size = 0;
    check_input(map.size() >= 4, "the character map has ", map.size(), " bytes; its size alone has 4");
    std::memcpy(&size, map.data(), 4);
    check_input(size % 4 == 0 && size > 0 && size <= map.size() - 4, "the character map's trie has ", size,
                " bytes, but there are ", map.size() - 4);
    trie_.resize(size / 4);
    std::memcpy(trie_.data(), map.data() + 4, size);
    strings_ = map.substr(4 + size);
    check_input(is_utf8(strings_), "the strings of the character map are no UTF-8");
  }

  // What the shortest entry that `text` begins with becomes.
  std::optional<std::string_view> find(std::string_view text) const {
    size_t node = offset(trie_[0]);
    for (const char c : text) {
      const uint8_t byte = uint8_t(c);
      if (byte == 0) return {};
      node ^= byte;
      if (node >= trie_.size() || (trie_[node] & 0x800000FFu) != byte) return {};
      const uint32_t unit = trie_[node];
      node ^= offset(unit);
      if (unit >> 8 & 1) {
        if (node >= trie_.size()) return {};
        const size_t at = trie_[node] & 0x7FFFFFFFu;
        if (at >= strings_.size()) return std::string_view();
        check_input((uint8_t(strings_[at]) & 0xC0) != 0x80,
                    "the character map is damaged: a string begins within a character, at byte ", at);
        return std::string_view(strings_).substr(at, std::min(strings_.find('\0', at), strings_.size()) - at);
      }
    }
    return {};
  }

 private:
  static size_t offset(uint32_t unit) { return size_t(unit >> 10) << ((unit & 0x200) >> 6); }

  std::vector<uint32_t> trie_;
  std::string strings_;
};

struct CloseText {
  void operator()(UText* text) const { utext_close(text); }
};

// Calls f(begin, end) for each grapheme (UAX 29) of `text`, which is UTF-8.
template <class F>
void for_each_grapheme(std::string_view text, const F& f) {
  UErrorCode error = U_ZERO_ERROR;
  thread_local const std::unique_ptr<icu::BreakIterator> breaks(
      icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), error));
  CHECK(breaks, "ICU has no rules for graphemes: ", u_errorName(error));
  const auto ascii = [&](size_t i) { return uint8_t(text[i]) < 0x80; };
  for (size_t begin = 0, end; begin < text.size(); begin = end) {
    // ASCII characters are graphemes, but for CR LF, if another one follows.
    const auto cr_lf = [&](size_t i) { return i < text.size() && text[i - 1] == '\r' && text[i] == '\n'; };
    end = begin + 1;
    if (ascii(begin) && (end == text.size() || ascii(end))) {
      if (cr_lf(end)) ++end;
      f(begin, end);
      continue;
    }
    while (end < text.size() && (!(ascii(end) && ascii(end - 1)) || cr_lf(end))) ++end;
    const std::unique_ptr<UText, CloseText> run(
        utext_openUTF8(nullptr, text.data() + begin, int64_t(end - begin), &error));
    breaks->setText(run.get(), error);
    CHECK(U_SUCCESS(error), "cutting a text into graphemes failed: ", u_errorName(error));
    for (int32_t from = breaks->first(), to; (to = breaks->next()) != icu::BreakIterator::DONE; from = to)
      f(begin + size_t(from), begin + size_t(to));
  }
}

}  // namespace

Normalizer charsmap_normalizer(const std::string& map) {
  return [table = std::make_shared<const Charsmap>(map)](AlignedText in) {
    constexpr size_t kWhole = 6;
    AlignedText out(in.limit());
    const auto put = [&](size_t begin, size_t end) {
      const auto found = table->find(std::string_view(in.text()).substr(begin, end - begin));
      if (found) out.append(*found, in.origin(begin, end));
      return bool(found);
    };
    for_each_grapheme(in.text(), [&](size_t begin, size_t end) {
      if (end - begin < kWhole && put(begin, end)) return;
      for (size_t at = begin, next; at < end; at = next) {
        next = at + utf8_char(in.text(), at).size;
        if (!put(at, next)) out.append(in, at, next);
      }
    });
    return out;
  };
}

}  // namespace cambium
