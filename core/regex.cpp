// Regular expressions by PCRE2, compiled to machine code where the machine allows it.
#include "core/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/error.h"

namespace cambium {
namespace {

PCRE2_SPTR as_units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string message_of(int code) {
  char buffer[160] = "";
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(buffer), sizeof buffer);
  return buffer;
}

struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
using MatchData = std::unique_ptr<pcre2_match_data, FreeMatch>;

}  // namespace

struct Regex::Compiled {
  pcre2_code* code = nullptr;
  ~Compiled() { pcre2_code_free(code); }
};

Regex::Regex(std::string_view pattern, int flags) {
  const uint32_t options = (flags & unicode ? PCRE2_UTF : 0u) | (flags & caseless ? PCRE2_CASELESS : 0u) |
                           (flags & anchored ? PCRE2_ANCHORED : 0u) | (flags & properties ? PCRE2_UCP : 0u);
  int error = 0;
  PCRE2_SIZE where = 0;
  auto compiled = std::make_shared<Compiled>();
  compiled->code = pcre2_compile(as_units(pattern), pattern.size(), options, &error, &where, nullptr);
  CHECK(compiled->code, "regular expression '", pattern, "', character ", where, ": ", message_of(error));
  pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE);  // without it matching is slower, no more
  compiled_ = std::move(compiled);
}

std::string Regex::replace_all(const std::string& text, const char* replacement) const {
  std::string out(text.size() + text.size() / 4 + 64, '\0');
  for (;;) {
    PCRE2_SIZE size = out.size();
    const int count = pcre2_substitute(compiled_->code, as_units(text), text.size(), 0,
                                       PCRE2_SUBSTITUTE_GLOBAL | PCRE2_SUBSTITUTE_OVERFLOW_LENGTH | PCRE2_NO_UTF_CHECK,
                                       nullptr, nullptr, as_units(replacement), PCRE2_ZERO_TERMINATED,
                                       reinterpret_cast<PCRE2_UCHAR*>(out.data()), &size);
    if (count == PCRE2_ERROR_NOMEMORY && size > out.size()) {
      out.resize(size);  // now the length that is needed
      continue;
    }
    CHECK(count >= 0, "regular expression: ", message_of(count));
    out.resize(size);
    return out;
  }
}

void Regex::for_each_match(std::string_view text, const std::function<void(size_t, size_t)>& f) const {
  thread_local const MatchData match(pcre2_match_data_create(1, nullptr));
  for (size_t at = 0; at < text.size();) {
    const int count = pcre2_match(compiled_->code, as_units(text), text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY,
                                  match.get(), nullptr);
    if (count == PCRE2_ERROR_NOMATCH) return;
    CHECK(count >= 0, "regular expression: ", message_of(count));
    const PCRE2_SIZE* const ends = pcre2_get_ovector_pointer(match.get());
    // f may match too, with the same data.
    const size_t begin = ends[0], end = ends[1];
    f(begin, end);
    at = end;
  }
}

Regex::Ends Regex::match_at(std::string_view text, size_t at) const {
  thread_local const MatchData match(pcre2_match_data_create(2, nullptr));
  const int count =
      pcre2_match(compiled_->code, as_units(text), text.size(), at, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
  if (count == PCRE2_ERROR_NOMATCH) return {};
  CHECK(count >= 0, "regular expression: ", message_of(count));
  const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(match.get());
  return {ends[1], count == 1 ? ends[1] : ends[3]};  // 0: there are more groups than the two asked for
}

}  // namespace cambium
