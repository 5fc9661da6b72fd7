// The cutting of texts into words.
#include "models/tokenizers/pre_tokenizers.h"

#include "models/tokenizers/characters.h"
#include "models/tokenizers/unicode_regex.h"
#include "models/tokenizers/utf8.h"

namespace cambium {
namespace {

struct Part {
  ByteRange range;
  bool match;
};

// The words that matches and what lies between them become.
void put_together(const std::vector<Part>& parts, SplitBehavior behavior, std::vector<ByteRange>& words) {
  const size_t first = words.size();
  bool was_match = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto& [range, match] = parts[i];
    bool join = false;
    switch (behavior) {
      case SplitBehavior::removed:
        if (match) continue;
        break;
      case SplitBehavior::isolated: break;
      case SplitBehavior::merged_with_previous: join = match && i && !was_match; break;
      case SplitBehavior::merged_with_next: join = !match && was_match; break;
      case SplitBehavior::contiguous: join = i && match == was_match; break;
    }
    if (join && words.size() > first) words.back().end = range.end;
    else words.push_back(range);
    was_match = match;
  }
}

// Cuts each word of the pieces into the parts that `find` gives.
template <class Find>
void cut(Pieces& pieces, SplitBehavior behavior, const Find& find) {
  std::vector<ByteRange> words;
  words.reserve(pieces.words.size());
  std::vector<Part> parts;
  for (const ByteRange word : pieces.words) {
    parts.clear();
    find(std::string_view(pieces.text.text()).substr(word.begin, word.end - word.begin), word.begin, parts);
    put_together(parts, behavior, words);
  }
  pieces.words = std::move(words);
}

}  // namespace

PreTokenizer split_by_pattern(const std::string& pattern, SplitBehavior behavior, bool inverted) {
  return [regex = unicode_regex(pattern), behavior, inverted](Pieces& pieces) {
    cut(pieces, behavior, [&](std::string_view word, size_t at, std::vector<Part>& parts) {
      size_t done = 0;
      regex.for_each_match(word, [&](size_t begin, size_t end) {
        if (begin > done) parts.push_back({{at + done, at + begin}, inverted});
        parts.push_back({{at + begin, at + end}, !inverted});
        done = end;
      });
      if (done < word.size()) parts.push_back({{at + done, at + word.size()}, inverted});
    });
  };
}

PreTokenizer split_by_characters(bool (*f)(char32_t), SplitBehavior behavior) {
  return [f, behavior](Pieces& pieces) {
    cut(pieces, behavior, [&](std::string_view word, size_t at, std::vector<Part>& parts) {
      for (size_t i = 0; i < word.size();) {
        const Utf8Char c = utf8_char(word, i);
        const ByteRange range{at + i, at + i + c.size};
        const bool match = f(c.code);
        if (!match && !parts.empty() && !parts.back().match) parts.back().range.end = range.end;
        else parts.push_back({range, match});
        i += c.size;
      }
    });
  };
}

PreTokenizer split_into_words() {
  return [blanks = split_by_characters(is_blank, SplitBehavior::removed),
          words = split_by_characters(is_word_character, SplitBehavior::contiguous)](Pieces& pieces) {
    blanks(pieces), words(pieces);
  };
}

std::vector<PreTokenizer> bert_words() {
  return {split_by_characters(is_blank, SplitBehavior::removed),
          split_by_characters(is_punctuation, SplitBehavior::isolated)};
}

PreTokenizer prefix_space() {
  return [](Pieces& pieces) {
    Pieces out{AlignedText(pieces.text.limit()), {}};
    for (const ByteRange word : pieces.words) {
      const size_t begin = out.text.size();
      if (pieces.text.text()[word.begin] != ' ') out.text.append(" ", pieces.text.origin_of_character(word.begin));
      out.text.append(pieces.text, word.begin, word.end);
      out.words.push_back({begin, out.text.size()});
    }
    pieces = std::move(out);
  };
}

PreTokenizer byte_level_words() { return split_by_pattern(kByteLevelWords, SplitBehavior::isolated, false); }

PreTokenizer metaspace(const std::string& replacement, Prepend prepend, bool split) {
  return [=](Pieces& pieces) {
    Pieces out{AlignedText(pieces.text.limit()), {}};
    for (const ByteRange word : pieces.words) {
      size_t begin = out.text.size();
      const ByteRange origin = pieces.text.origin_of_character(word.begin);
      const std::string_view text = std::string_view(pieces.text.text()).substr(word.begin, word.end - word.begin);
      const bool marked = text.starts_with(' ') || text.starts_with(replacement);
      if (!marked && (prepend == Prepend::always || (prepend == Prepend::first && origin.begin == 0)))
        out.text.append(replacement, origin);
      for (size_t i = word.begin; i < word.end;) {
        const Utf8Char c = utf8_char(pieces.text.text(), i);
        const bool blank = c.code == ' ';
        const bool mark =
            blank || std::string_view(pieces.text.text()).substr(i, word.end - i).starts_with(replacement);
        if (mark && split && out.text.size() > begin && i > word.begin) {
          out.words.push_back({begin, out.text.size()});
          begin = out.text.size();
        }
        if (blank) out.text.append(replacement, pieces.text.origin(i, i + 1));
        else out.text.append(pieces.text, i, i + c.size);
        i += c.size;
      }
      if (out.text.size() > begin) out.words.push_back({begin, out.text.size()});
    }
    pieces = std::move(out);
  };
}

}  // namespace cambium
