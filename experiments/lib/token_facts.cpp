#include "experiments/lib/token_facts.h"

#include <algorithm>

#include "core/error.h"

namespace cambium {

Framing framing_of(const Tokenizer& tokenizer) {
  // Around a text of which one token is known.
  const std::vector<int32_t> plain = tokenizer.encode("a", false), whole = tokenizer.encode("a", true);
  const auto place = std::search(whole.begin(), whole.end(), plain.begin(), plain.end());
  CHECK(!plain.empty() && place != whole.end(), "the tokenizer changes a text that special tokens stand around");
  return {{whole.begin(), place}, {place + int64_t(plain.size()), whole.end()}};
}

WordStarts word_starts(const Tokenizer& tokenizer) {
  constexpr std::string_view kSentencePiece = "\xe2\x96\x81", kBytes = "\xc4\xa0", kContinues = "##";
  const int64_t size = tokenizer.vocabulary_size();
  WordStarts marked(static_cast<size_t>(size)), continues(static_cast<size_t>(size));
  int64_t marks = 0;
  for (int32_t id = 0; id < size; ++id) {
    const std::string_view token = tokenizer.token(id);
    marked[size_t(id)] = token.starts_with(kSentencePiece) || token.starts_with(kBytes) || tokenizer.is_special(id);
    continues[size_t(id)] = !token.starts_with(kContinues);
    marks += token.starts_with(kSentencePiece) || token.starts_with(kBytes);
  }
  return marks > size / 100 ? marked : continues;
}

std::optional<int32_t> mask_token(const Tokenizer& tokenizer) {
  for (const char* spelling : {"[MASK]", "<mask>"})
    if (const auto id = tokenizer.find_token(spelling)) return id;
  return std::nullopt;
}

std::vector<int32_t> sentence_ends(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id) {
    const std::string& token = tokenizer.token(id);
    if (token == "." || token == "\xc4\xa0." || token == "\xe2\x96\x81.") ids.push_back(id);
  }
  return ids;
}

std::optional<Sentinels> sentinels(const Tokenizer& tokenizer) {
  const auto first = tokenizer.find_token("<extra_id_0>");
  if (!first) return std::nullopt;
  Sentinels s{*first, 1};
  while (tokenizer.find_token(text("<extra_id_", s.count, ">")) == std::optional<int32_t>(int32_t(s.first - s.count)))
    ++s.count;
  return s;
}

std::vector<int32_t> special_tokens(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < tokenizer.vocabulary_size(); ++id)
    if (tokenizer.is_special(id)) ids.push_back(id);
  return ids;
}

int32_t label_token(const Tokenizer& tokenizer, const std::string& word, bool whole) {
  const std::vector<int32_t> ids = tokenizer.encode(" " + word, false);
  check_input(!ids.empty() && (!whole || ids.size() == 1), "the label word \"", word, "\" has ", ids.size(),
              " tokens; a mask stands for one");
  return ids.front();
}

}  // namespace cambium
