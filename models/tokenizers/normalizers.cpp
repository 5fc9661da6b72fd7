// Normalization through ICU, with the place where each byte came from.
#include "models/tokenizers/normalizers.h"

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>

#include "core/error.h"
#include "models/tokenizers/characters.h"
#include "models/tokenizers/unicode_regex.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

// f(c, origin, bytes, out) for each character, bytes being its UTF-8.
template <class F>
AlignedText map_characters(const AlignedText& in, const F& f) {
  AlignedText out(in.limit());
  for (size_t at = 0; at < in.size();) {
    const Utf8Char c = utf8_char(in.text(), at);
    f(c.code, in.origin(at, at + c.size), std::string_view(in.text()).substr(at, c.size), out);
    at += c.size;
  }
  return out;
}

const icu::Normalizer2& normalizer_of(UnicodeForm form) {
  UErrorCode error = U_ZERO_ERROR;
  const icu::Normalizer2* const found = form == UnicodeForm::nfc    ? icu::Normalizer2::getNFCInstance(error)
                                        : form == UnicodeForm::nfd  ? icu::Normalizer2::getNFDInstance(error)
                                        : form == UnicodeForm::nfkc ? icu::Normalizer2::getNFKCInstance(error)
                                                                    : icu::Normalizer2::getNFKDInstance(error);
  CHECK(U_SUCCESS(error), "ICU has no normalization data: ", u_errorName(error));
  return *found;
}

std::string normalized(const icu::Normalizer2& normalizer, std::string_view text) {
  UErrorCode error = U_ZERO_ERROR;
  std::string out;
  normalizer.normalize(icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), int32_t(text.size()))), error)
      .toUTF8String(out);
  CHECK(U_SUCCESS(error), "Unicode normalization failed: ", u_errorName(error));
  return out;
}

// A final capital sigma has no special form: each character is mapped by itself.
void append_lowercase(AlignedText& out, char32_t c, ByteRange origin) {
  if (c < 128) {
    const char lower = char(c >= 'A' && c <= 'Z' ? c + 32 : c);
    return out.append({&lower, 1}, origin);
  }
  icu::UnicodeString one{UChar32(c)};
  std::string bytes;
  one.toLower(icu::Locale::getRoot()).toUTF8String(bytes);
  out.append(bytes, origin);
}

// Each character's decomposition with that character's place, marks in the order of their classes.
void append_decomposed(AlignedText& out, const icu::Normalizer2& normalizer, const AlignedText& in, size_t begin,
                       size_t end) {
  struct Mark {
    std::string bytes;
    ByteRange origin;
    uint8_t order;  // 0: no mark
  };
  std::vector<Mark> marks;
  for (size_t at = begin, next; at < end; at = next) {
    next = at + utf8_char(in.text(), at).size;
    const std::string parts = normalized(normalizer, std::string_view(in.text()).substr(at, next - at));
    for (size_t i = 0; i < parts.size();) {
      const Utf8Char c = utf8_char(parts, i);
      marks.push_back({parts.substr(i, c.size), in.origin(at, next), u_getCombiningClass(UChar32(c.code))});
      i += c.size;
    }
  }
  for (auto from = marks.begin(), to = from; from != marks.end(); from = to) {
    for (to = from + 1; to != marks.end() && to->order != 0; ++to) continue;
    std::stable_sort(from + (from->order == 0), to, [](const Mark& a, const Mark& b) { return a.order < b.order; });
  }
  for (const Mark& mark : marks) out.append(mark.bytes, mark.origin);
}

std::function<AlignedText(AlignedText)> filtered(bool (*keep)(char32_t)) {
  return [keep](AlignedText in) {
    return map_characters(in, [&](char32_t c, ByteRange origin, std::string_view bytes, AlignedText& out) {
      if (keep(c)) out.append(bytes, origin);
    });
  };
}

}  // namespace

Normalizer unicode_normalizer(UnicodeForm form) {
  return [form, &normalizer = normalizer_of(form)](AlignedText in) {
    AlignedText out(in.limit());
    for (size_t begin = 0, end; begin < in.size(); begin = end) {
      // Up to the next character that no earlier one interacts with.
      end = begin + utf8_char(in.text(), begin).size;
      for (Utf8Char c; (c = utf8_char(in.text(), end)).size && !normalizer.hasBoundaryBefore(UChar32(c.code));
           end += c.size)
        continue;
      const std::string_view run = std::string_view(in.text()).substr(begin, end - begin);
      CHECK(run.size() < size_t(1) << 30, "a character with ", run.size(), " bytes of combining marks is too long");
      const std::string changed = normalized(normalizer, run);
      if (changed == run) out.append(in, begin, end);
      else if (form == UnicodeForm::nfd || form == UnicodeForm::nfkd)
        append_decomposed(out, normalizer, in, begin, end);
      else out.append(changed, in.origin(begin, end));
    }
    return out;
  };
}

Normalizer lowercase() {
  return [](AlignedText in) {
    return map_characters(
        in, [](char32_t c, ByteRange origin, std::string_view, AlignedText& out) { append_lowercase(out, c, origin); });
  };
}

Normalizer strip_accents() {
  return filtered([](char32_t c) { return !is_combining_mark(c); });
}

Normalizer strip(bool left, bool right) {
  return [=](AlignedText in) {
    size_t begin = 0, end = in.size();
    if (left)
      for (Utf8Char c; (c = utf8_char(in.text(), begin)).size && is_blank(c.code); begin += c.size) continue;
    for (size_t last = end; right && end > begin; end = last) {
      while (--last > begin && (uint8_t(in.text()[last]) & 0xC0) == 0x80) continue;
      if (!is_blank(utf8_char(in.text(), last).code)) break;
    }
    return in.slice(begin, end);
  };
}

Normalizer prepend(const std::string& prefix) {
  return [prefix](AlignedText in) {
    if (in.empty()) return in;
    AlignedText out(in.limit());
    out.append(prefix, in.origin_of_character(0));
    out.append(in, 0, in.size());
    return out;
  };
}

Normalizer replace_string(const std::string& from, const std::string& to) {
  check_input(!from.empty(), "the normalizer Replace has an empty pattern");
  return [=](AlignedText in) {
    AlignedText out(in.limit());
    size_t done = 0;
    for (size_t at; (at = in.text().find(from, done)) != std::string::npos; done = at + from.size()) {
      out.append(in, done, at);
      out.append(to, in.origin(at, at + from.size()));
    }
    if (!done) return in;
    out.append(in, done, in.size());
    return out;
  };
}

Normalizer replace_pattern(const std::string& pattern, const std::string& to) {
  return [regex = unicode_regex(pattern), to](AlignedText in) {
    AlignedText out(in.limit());
    size_t done = 0;
    regex.for_each_match(in.text(), [&](size_t begin, size_t end) {
      out.append(in, done, begin);
      out.append(to, in.origin(begin, end));
      done = end;
    });
    out.append(in, done, in.size());
    return out;
  };
}

Normalizer bert_normalizer(const BertNormalization& options) {
  return [options, decomposed = unicode_normalizer(UnicodeForm::nfd),
          stripped = filtered([](char32_t c) { return !is_nonspacing_mark(c); }),
          lowered = lowercase()](AlignedText text) {
    if (options.clean)
      text = map_characters(text, [](char32_t c, ByteRange origin, std::string_view bytes, AlignedText& out) {
        if (c == 0 || c == 0xFFFD || is_bert_control(c)) return;
        out.append(is_blank(c) ? " " : bytes, origin);
      });
    if (options.chinese)
      text = map_characters(text, [](char32_t c, ByteRange origin, std::string_view bytes, AlignedText& out) {
        if (is_chinese(c)) out.append(" ", {origin.begin, origin.begin});
        out.append(bytes, origin);
        if (is_chinese(c)) out.append(" ", {origin.end, origin.end});
      });
    if (options.accents) text = stripped(decomposed(std::move(text)));
    if (options.lower) text = lowered(std::move(text));
    return text;
  };
}

}  // namespace cambium
